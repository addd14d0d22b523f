"""A runner's life: its Pod mounts what the operator made, and nothing of it stays but evidence."""

import json
from pathlib import PurePosixPath

from tools.installation.deployment import QUARANTINE, STORAGE, Operator
from tools.installation.pods import WRITE_AND_END, WRITE_AND_STAY, phase, run_to_end, start, wait_phase
from tools.installation.runners import Object, Runners
from tools.waiting import eventually

_READ = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
_MEMBERS = "import sys, tarfile; print('\\n'.join(tarfile.open(sys.argv[1]).getnames()))"
_CONTENT = "import sys, tarfile; print(tarfile.open(sys.argv[1]).extractfile(sys.argv[2]).read().decode())"


def test_a_runner_writes_a_collector_reads_and_nothing_stays(runners: Runners, operator: Operator) -> None:
    start(runners, "runner-0", script=WRITE_AND_END)
    wait_phase(runners, "runner-0", "Succeeded")
    read = "cat /metrics/pre-job-metrics.json /metrics/post-job-metrics.json"
    lines = run_to_end(runners, "collector", read, claim="runner-0").splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["started", "done"]
    runners.kubectl("delete", "pods", "--all")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    operator.assert_nothing_left(runners.namespace)
    assert not runners.volumes()
    assert not runners.every("pvc")


def test_a_collector_with_the_volume_reads_what_the_pod_wrote(runners: Runners, operator: Operator) -> None:
    start(runners, "runner-0", script=WRITE_AND_END)
    wait_phase(runners, "runner-0", "Succeeded")
    directory = _relative(runners.storage("runner-0"))
    assert json.loads(operator.python(_READ, f"{STORAGE}/{directory}/post-job-metrics.json")) == {"state": "done"}


def test_a_deletion_waits_for_the_pod_which_never_sees_its_directory_go(runners: Runners, operator: Operator) -> None:
    start(runners, "runner-0", script=WRITE_AND_STAY)
    wait_phase(runners, "runner-0", "Running")
    runners.delete("runner-0")
    runners.wait_condition("runner-0", "Ready", "False", "ClaimInUse", seconds=60)
    # What kills the first process of a container may end with it, before it can say that it succeeded.
    runners.kubectl("exec", "runner-0", "--", "kill", "1", check=False)
    wait_phase(runners, "runner-0", "Succeeded")  # And not Failed, as one whose directory went.
    runners.kubectl("delete", "pod", "runner-0", "--wait=false")
    runners.wait_gone("runner-0", seconds=60)
    operator.assert_nothing_left(runners.namespace)


def test_a_runner_flagged_while_it_runs_is_archived_at_once_and_whole_in_the_end(
    runners: Runners, operator: Operator
) -> None:
    start(runners, "runner-0", script=WRITE_AND_STAY)
    wait_phase(runners, "runner-0", "Running")
    runners.quarantine("runner-0", reason="pre-job-metrics.json is not JSON")
    runners.wait(
        "runner-0", lambda found: quarantine(found).get("clean") is False, "an archive is there for the time being", 60
    )
    runners.wait_condition("runner-0", "Ready", "False", "ClaimInUse", seconds=60)
    assert phase(runners, "runner-0") == "Running"
    runners.kubectl("delete", "pod", "runner-0", "--wait=false")
    final = quarantine(runners.wait_condition("runner-0", "Quarantined", seconds=90))
    assert final["clean"]
    archive = f"{QUARANTINE}/{final['archive']}"
    names = operator.python(_MEMBERS, archive).split()
    assert {PurePosixPath(name).name for name in names} >= {"pre-job-metrics.json", "beat.txt", "end.txt"}
    (evidence,) = [name for name in names if name.endswith("/pre-job-metrics.json")]
    assert operator.python(_CONTENT, archive, evidence).strip() == "not JSON"
    eventually(lambda: not runners.volumes(), seconds=30, what="the volume is gone")
    ours = operator.archives(runners.namespace)
    assert sorted(found["clean"] for found in ours) == [False, True]
    operator.verify(ours)
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    operator.assert_nothing_left(runners.namespace)


def quarantine(storage: Object) -> Object:
    """What a status says of the quarantine, empty where there is none."""
    return dict(storage["status"].get("quarantine", {}))


def _relative(storage: Object) -> str:
    """Path of a directory on the storage volume."""
    return "/".join(PurePosixPath(storage["status"]["path"]).parts[-2:])
