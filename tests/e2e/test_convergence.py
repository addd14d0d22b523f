"""Many at once, killed at any moment, two at a time: the end is always the same."""

import json
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cluster import Cluster
from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners, condition
from tools.waiting import eventually

MANY = 200
KILLS = 20


@pytest.fixture
def names() -> list[str]:
    """The names of many runners."""
    return [f"runner-{number}" for number in range(MANY)]


def ready(runners: Runners) -> bool:
    """Whether everything in the namespace is Ready, and every claim and volume Bound."""
    storages, claims, volumes = runners.every("mstor"), runners.every("pvc"), runners.volumes()
    return (
        len(storages) == len(claims) == len(volumes) == MANY
        and all(condition(storage, "Ready").get("status") == "True" for storage in storages)
        and all(item["status"]["phase"] == "Bound" for item in (*claims, *volumes))
    )


def left(runners: Runners, operator: OperatorProcess) -> dict[str, object]:
    """What is left of a namespace whose MetricsStorages were deleted; empty values when nothing is."""
    private = operator.storage_root / ".metrics-storage"
    return {
        "resources": [item["metadata"]["name"] for item in runners.every("mstor")],
        "claims": [item["metadata"]["name"] for item in runners.every("pvc")],
        "volumes": [item["metadata"]["name"] for item in runners.volumes()],
        "journal": [path.name for path in (private / "journal").iterdir()],
        "frozen": [path.name for path in (private / "frozen").iterdir()],
        "trash": [path.name for path in (private / "trash").iterdir()],
        "directories": [path.name for path in operator.storage_root.glob(f"{runners.namespace}/*")],
    }


def nothing_left(runners: Runners, operator: OperatorProcess) -> bool:
    return not any(left(runners, operator).values())


def test_two_hundred_applied_and_deleted_at_once_come_and_go_without_a_trace(
    runners: Runners, operator: OperatorProcess, names: list[str]
) -> None:
    runners.apply(*names)
    eventually(lambda: ready(runners), seconds=60, what=f"all {MANY} are ready")
    for name in names[::10]:
        (runners.live(name) / "metrics.json").write_text("{}")
    runners.kubectl("delete", "mstor", "--all", "--wait=false")
    eventually(lambda: not runners.every("mstor"), seconds=120, what=f"all {MANY} are gone")
    assert not runners.volumes()
    # The journal's last entries go right after the objects have left the API server.
    eventually(lambda: nothing_left(runners, operator), seconds=10, what=f"nothing is left: {left(runners, operator)}")


def test_an_operator_killed_twenty_times_ends_in_the_same_state(
    runners: Runners, operator: OperatorProcess, names: list[str]
) -> None:
    chance = random.Random(7)
    flagged = names[: MANY // 10]

    def kill_and_restart(times: int) -> None:
        for _ in range(times):
            # A random moment is what is tested here, not a condition waited for.
            threading.Event().wait(chance.uniform(0.05, 1.5))
            operator.kill()
            operator.start()

    runners.apply(*names)
    kill_and_restart(KILLS // 2)
    eventually(lambda: ready(runners), seconds=120, what=f"all {MANY} are ready")
    for name in flagged:
        (runners.live(name) / "metrics.json").write_text(name)
    runners.kubectl("annotate", "mstor", *flagged, "metricsstorage.dev/quarantine=flagged")
    runners.kubectl("delete", "mstor", "--all", "--wait=false")
    kill_and_restart(KILLS - KILLS // 2)
    eventually(lambda: not runners.every("mstor"), seconds=180, what=f"all {MANY} are gone")
    eventually(lambda: nothing_left(runners, operator), seconds=10, what="nothing is left")
    archives = list((operator.quarantine_root / runners.namespace).glob("*.tar.gz"))
    manifests = list((operator.quarantine_root / runners.namespace).glob("*.manifest.jsonl"))
    found = {json.loads(path.read_text().splitlines()[0])["name"] for path in manifests}
    assert found == set(flagged)
    assert len(archives) >= len(flagged)


@pytest.fixture
def second(operator: OperatorProcess, request: pytest.FixtureRequest) -> Iterator[OperatorProcess]:
    """Another operator on the volumes of the first, with a log of its own in each test."""
    log = f"{request.node.name}.log"
    found = OperatorProcess(operator.kubeconfig, operator.directory, port=operator.port + 1, log_name=log)
    yield found
    found.kill()


def test_a_second_operator_on_the_same_volume_waits_says_so_and_takes_over(
    runners: Runners, operator: OperatorProcess, second: OperatorProcess
) -> None:
    second.start(wait=False)
    eventually(lambda: "is in use by pid" in second.log, seconds=20, what="the second operator says that it waits")
    assert second.probe("readyz") == 503
    assert second.probe("livez") == 200
    operator.send(signal.SIGSTOP)
    runners.apply("runner-0")
    assert second.probe("readyz") == 503
    operator.kill()
    second.wait_ready()
    runners.wait_ready("runner-0")
    second.kill()
    operator.start()


def test_an_operator_that_waits_for_the_lock_ends_when_it_is_asked_to(
    operator: OperatorProcess, second: OperatorProcess
) -> None:
    second.start(wait=False)
    eventually(lambda: "is in use by pid" in second.log, seconds=20, what="the second operator says that it waits")
    assert second.stop() == 0
    assert "Traceback" not in second.log


def test_a_restart_writes_nothing_for_what_is_right_already(
    runners: Runners, operator: OperatorProcess, cluster: Cluster
) -> None:
    runners.apply("runner-0", "runner-1")
    for name in ("runner-0", "runner-1"):
        runners.wait(name, lambda found: "usage" in found.get("status", {}), "is ready and measured")
    operator.stop()
    before = {kind: versions(runners, kind) for kind in ("mstor", "pvc", "pv")}
    journal = journal_times(operator)
    logged = len(operator.log)
    operator.start()
    for name in ("runner-0", "runner-1"):
        resumed = f"[{runners.namespace}/{name}] Creation is processed"
        eventually(lambda resumed=resumed: resumed in operator.log[logged:], seconds=20, what=f"{name} is resumed")  # type: ignore[misc]
    assert {kind: versions(runners, kind) for kind in ("mstor", "pvc", "pv")} == before
    assert journal_times(operator) == journal


def versions(runners: Runners, kind: str) -> dict[str, str]:
    """Resource versions by name."""
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in runners.every(kind)}


def journal_times(operator: OperatorProcess) -> dict[Path, int]:
    """When the journal's entries were written."""
    return {path: path.stat().st_mtime_ns for path in (operator.storage_root / ".metrics-storage/journal").iterdir()}
