"""Quarantine: requested before, with and during deletion; archived, verified, and only then removed."""

import hashlib
import json
import subprocess
from pathlib import Path

from tests.e2e.claims import hold_claim
from tools.installation.process import OperatorProcess
from tools.installation.runners import Object, Runners, condition
from tools.waiting import eventually

QUARANTINE = {"metricsstorage.dev/quarantine": "not JSON"}


def fill(directory: Path) -> None:
    """What a runner leaves behind."""
    (directory / "pre-job-metrics.json").write_text('{"timestamp": 1')
    (directory / "logs").mkdir()
    (directory / "logs" / "job.log").write_bytes(b"line\n" * 1000)
    (directory / "latest").symlink_to("logs/job.log")


def check_archive(operator: OperatorProcess, storage: Object, scratch: Path) -> None:
    """The archive opens with plain tar, holds what was filled in, and agrees with its manifest and the status."""
    quarantine = storage["status"]["quarantine"]
    archive = operator.quarantine_root / quarantine["archive"]
    assert quarantine["clean"] is True
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == quarantine["sha256"]
    assert archive.stat().st_mode & 0o777 == 0o600
    subprocess.run(["tar", "xzf", archive, "-C", scratch], check=True)
    top = scratch / storage["metadata"]["name"]
    assert sorted(str(path.relative_to(top)) for path in top.rglob("*")) == [
        "latest",
        "logs",
        "logs/job.log",
        "pre-job-metrics.json",
    ]
    assert (top / "pre-job-metrics.json").read_text() == '{"timestamp": 1'
    assert (top / "latest").readlink() == Path("logs/job.log")
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    header, *entries, trailer = map(json.loads, manifest.read_text().splitlines())
    assert header["uid"] == storage["metadata"]["uid"]
    assert header["reason"] == quarantine["reason"]
    assert trailer["clean"] is True
    digests = {entry["sha256"] for entry in entries if "sha256" in entry}
    assert hashlib.sha256(b"line\n" * 1000).hexdigest() in digests


def test_an_annotated_directory_is_archived_and_the_resource_stays_as_the_record(
    runners: Runners, operator: OperatorProcess, tmp_path: Path
) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    fill(directory)
    runners.quarantine("runner-0")
    storage = runners.wait_condition("runner-0", "Stalled", reason="Quarantined")
    assert condition(storage, "Quarantined")["status"] == "True"
    assert condition(storage, "Ready")["status"] == "False"
    assert storage["status"]["phase"] == "Quarantined"
    check_archive(operator, storage, tmp_path)
    assert not directory.exists()
    assert not runners.volumes()
    assert not runners.every("pvc")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    assert (operator.quarantine_root / storage["status"]["quarantine"]["archive"]).exists()


def test_taking_the_annotation_away_cancels_nothing(
    runners: Runners, operator: OperatorProcess, tmp_path: Path
) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    fill(runners.live("runner-0"))
    operator.kill()
    runners.quarantine("runner-0", reason="first reason")
    operator.start()
    runners.wait("runner-0", lambda found: "quarantine" in found["status"], "is latched")
    runners.kubectl("annotate", "mstor", "runner-0", "metricsstorage.dev/quarantine-")
    storage = runners.wait_condition("runner-0", "Quarantined")
    assert storage["status"]["quarantine"]["reason"] == "first reason"
    check_archive(operator, storage, tmp_path)


def test_an_annotation_from_the_beginning_is_honoured(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0", annotations=QUARANTINE)
    storage = runners.wait_condition("runner-0", "Quarantined")
    assert (operator.quarantine_root / storage["status"]["quarantine"]["archive"]).exists()


def test_deletion_right_after_the_annotation_waits_for_the_archive(
    runners: Runners, operator: OperatorProcess, tmp_path: Path
) -> None:
    runners.apply("runner-0")
    before = runners.wait_ready("runner-0")[0]
    fill(runners.live("runner-0"))
    runners.quarantine("runner-0")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    assert_one_archive(operator, runners, before, tmp_path)


def test_an_annotation_during_deletion_is_honoured(runners: Runners, operator: OperatorProcess, tmp_path: Path) -> None:
    runners.apply("runner-0")
    before = runners.wait_ready("runner-0")[0]
    fill(runners.live("runner-0"))
    # Somebody else's finalizer holds the claim as a running Pod does, so that the deletion waits.
    hold_claim(runners, "runner-0", held=True)
    runners.delete("runner-0")
    eventually(
        lambda: "deletionTimestamp" in (runners.get("pvc", "runner-0") or {"metadata": {}})["metadata"],
        seconds=20,
        what="the claim is being deleted",
    )
    runners.quarantine("runner-0")
    hold_claim(runners, "runner-0", held=False)
    runners.wait_gone("runner-0")
    assert_one_archive(operator, runners, before, tmp_path)


def test_the_directory_is_untouched_while_the_claim_is_in_use(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    hold_claim(runners, "runner-0", held=True)
    runners.quarantine("runner-0")
    storage = runners.wait_condition("runner-0", "Ready", "False", reason="ClaimInUse")
    assert condition(storage, "Reconciling")["status"] == "True"
    assert directory.is_dir()
    hold_claim(runners, "runner-0", held=False)
    runners.wait_condition("runner-0", "Quarantined")


def test_a_runner_that_shreds_its_evidence_once_flagged_leaves_two_archives(
    runners: Runners, operator: OperatorProcess
) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    fill(directory)
    hold_claim(runners, "runner-0", held=True)
    runners.quarantine("runner-0")
    archives = operator.quarantine_root / runners.namespace
    (provisional,) = eventually(
        lambda: list(archives.glob("*_1.tar.gz")), seconds=20, what="a provisional archive is committed"
    )
    (directory / "pre-job-metrics.json").unlink()
    hold_claim(runners, "runner-0", held=False)
    storage = runners.wait_condition("runner-0", "Quarantined")
    final = storage["status"]["quarantine"]
    assert (final["archive"].endswith("_2.tar.gz"), final["clean"]) == (True, True)

    def members(archive: Path) -> str:
        return subprocess.run(["tar", "tzf", archive], check=True, capture_output=True, text=True).stdout

    assert "runner-0/pre-job-metrics.json" in members(provisional)
    assert "runner-0/pre-job-metrics.json" not in members(operator.quarantine_root / final["archive"])


def test_policy_quarantine_archives_before_every_deletion(
    runners: Runners, operator: OperatorProcess, tmp_path: Path
) -> None:
    runners.apply("runner-0", spec={"deletionPolicy": "Quarantine"})
    before = runners.wait_ready("runner-0")[0]
    fill(runners.live("runner-0"))
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    assert_one_archive(operator, runners, before, tmp_path)


def test_two_runners_of_one_name_leave_two_archives(runners: Runners, operator: OperatorProcess) -> None:
    for _ in range(2):
        runners.apply("runner-0", annotations=QUARANTINE)
        runners.wait_condition("runner-0", "Quarantined")
        runners.delete("runner-0")
        runners.wait_gone("runner-0")
    assert len(list((operator.quarantine_root / runners.namespace).glob("runner-0_*.tar.gz"))) == 2


def assert_one_archive(operator: OperatorProcess, runners: Runners, before: Object, scratch: Path) -> None:
    """Exactly one archive was committed for a MetricsStorage that is gone, and it holds everything."""
    uid = before["metadata"]["uid"]
    (archive,) = (operator.quarantine_root / runners.namespace).glob(f"*{uid}*.tar.gz")
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    header = json.loads(manifest.read_text().splitlines()[0])
    quarantine = {
        "archive": str(archive.relative_to(operator.quarantine_root)),
        "clean": True,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "reason": header["reason"],
    }
    check_archive(operator, {**before, "status": {"quarantine": quarantine}}, scratch)
