"""What somebody changes by hand is noticed: repaired where that is safe, said loudly where it is not."""

import json
import shutil
import subprocess
import sys

from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners, condition
from tools.waiting import eventually


def test_a_removed_claim_is_made_anew_and_bound(runners: Runners) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    before = runners.get("pvc", "runner-0")
    assert before is not None
    runners.kubectl("delete", "pvc", "runner-0")

    def bound_again() -> bool:
        claim = runners.get("pvc", "runner-0")
        return bool(
            claim
            and claim["metadata"]["uid"] != before["metadata"]["uid"]
            and claim["status"]["phase"] == "Bound"
            and runners.volumes()[0]["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
        )

    eventually(bound_again, seconds=20, what="another claim is bound to the same volume")
    runners.wait_ready("runner-0")
    assert len(runners.volumes()) == 1


def test_a_removed_volume_is_made_anew_and_bound(runners: Runners) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    (volume,) = runners.volumes()
    name = volume["metadata"]["name"]
    runners.kubectl("delete", "pv", name, "--wait=false")
    runners.kubectl("patch", "pv", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')

    def bound_again() -> bool:
        volumes = runners.volumes()
        claim = runners.get("pvc", "runner-0")
        return bool(
            volumes
            and volumes[0]["metadata"]["uid"] != volume["metadata"]["uid"]
            and volumes[0]["status"]["phase"] == "Bound"
            and claim
            and claim["status"]["phase"] == "Bound"
        )

    eventually(bound_again, seconds=20, what="another volume is bound to the same claim")
    runners.wait_ready("runner-0")


def test_a_vanished_directory_with_content_holds_the_deletion_until_a_person_acts(
    runners: Runners, operator: OperatorProcess
) -> None:
    runners.apply("runner-0")
    uid = runners.wait_ready("runner-0")[0]["metadata"]["uid"]
    directory = runners.live("runner-0")
    (directory / "metrics.json").write_text("{}")
    runners.wait("runner-0", lambda found: found["status"].get("usage", {}).get("files"), "is measured")
    shutil.rmtree(directory)
    storage = runners.wait_condition("runner-0", "Stalled", reason="DirectoryVanished")
    assert condition(storage, "Ready")["status"] == "False"
    assert f"metrics-storage accept-loss {uid}" in condition(storage, "Stalled")["message"]
    assert not directory.exists()
    runners.delete("runner-0")
    eventually(lambda: not runners.get("pvc", "runner-0"), seconds=20, what="the claim is gone")
    assert runners.storage("runner-0")["metadata"]["finalizers"] == ["metricsstorage.dev/directory"]
    release(operator, uid)
    runners.wait_gone("runner-0", seconds=60)


def test_a_vanished_directory_that_was_empty_is_made_anew(runners: Runners) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    runners.wait("runner-0", lambda found: found["status"].get("usage", {}).get("files") == 0, "is measured")
    directory.rmdir()
    eventually(directory.is_dir, seconds=20, what="the directory is there again")
    runners.wait_ready("runner-0")


def test_a_foreign_claim_is_left_alone_and_its_removal_heals(runners: Runners) -> None:
    make_foreign_claim(runners)
    before = runners.get("pvc", "runner-0")
    runners.apply("runner-0")
    storage = runners.wait_condition("runner-0", "Stalled", reason="ClaimConflict")
    assert "Delete or rename that claim" in condition(storage, "Stalled")["message"]
    assert condition(storage, "Ready")["status"] == "False"
    after = runners.get("pvc", "runner-0")
    assert after is not None
    assert before is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    runners.kubectl("delete", "pvc", "runner-0")
    runners.wait_ready("runner-0")


def test_deleting_a_resource_in_conflict_leaves_the_foreign_claim(runners: Runners) -> None:
    make_foreign_claim(runners)
    runners.apply("runner-0")
    runners.wait_condition("runner-0", "Stalled", reason="ClaimConflict")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    assert runners.get("pvc", "runner-0") is not None


def test_a_stripped_finalizer_keeps_the_directory_and_is_reported(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    (directory / "evidence").touch()
    operator.kill()
    runners.delete("runner-0")
    runners.kubectl("patch", "mstor", "runner-0", "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    runners.wait_gone("runner-0")
    operator.start()
    eventually(lambda: f"orphan: {runners.namespace}/runner-0" in operator.log, seconds=20, what="the orphan is named")
    assert (directory / "evidence").exists()


def test_a_volume_that_is_not_mounted_is_said_by_every_resource_and_heals(
    runners: Runners, operator: OperatorProcess
) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    aside = operator.storage_root.with_name("aside")
    operator.storage_root.rename(aside)
    operator.storage_root.mkdir()
    try:
        runners.apply("runner-1")
        for name in ("runner-0", "runner-1"):
            storage = runners.wait_condition(name, "Stalled", reason="VolumeUnavailable")
            assert "was it unmounted?" in condition(storage, "Stalled")["message"]
            assert condition(storage, "Ready")["status"] == "False"
        assert not list(operator.storage_root.iterdir())
    finally:
        operator.storage_root.rmdir()
        aside.rename(operator.storage_root)
    runners.wait_ready("runner-0", "runner-1")


def test_a_released_loss_lets_a_deletion_that_archives_first_go_on(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0", spec={"deletionPolicy": "Quarantine"})
    uid = runners.wait_ready("runner-0")[0]["metadata"]["uid"]
    shutil.rmtree(runners.live("runner-0"))
    runners.delete("runner-0")
    runners.wait_condition("runner-0", "Stalled", reason="DirectoryVanished")
    release(operator, uid)
    runners.wait_gone("runner-0", seconds=60)


def release(operator: OperatorProcess, uid: str) -> None:
    """Accept, as a person does, that a vanished directory is lost."""
    command = [sys.executable, "-m", "metrics_storage", "release", uid, f"--storage-root={operator.storage_root}"]
    subprocess.run(command, check=True, capture_output=True)


def make_foreign_claim(runners: Runners) -> None:
    """A claim of the name of a runner that nobody here knows."""
    foreign = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "runner-0", "namespace": runners.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    runners.apply_objects([foreign])


def test_a_claim_that_a_limit_forbids_is_stalled_in_the_api_servers_words(
    runners: Runners,
) -> None:
    limit = {"type": "PersistentVolumeClaim", "max": {"storage": "1Mi"}}
    metadata = {"name": "small-claims", "namespace": runners.namespace}
    runners.apply_objects(
        [{"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [limit]}}]
    )
    try:
        runners.apply("runner-0")
        storage = runners.wait_condition("runner-0", "Stalled", reason="RequestRefused", seconds=60)
        told = condition(storage, "Stalled")["message"]
        assert "403" in told
        assert "maximum storage usage per PersistentVolumeClaim is 1Mi" in told
    finally:
        runners.kubectl("delete", "limitrange", "small-claims")
    runners.wait_ready("runner-0", seconds=60)
