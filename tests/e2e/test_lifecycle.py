"""From `kubectl apply` to a directory and back."""

import stat

from tools.installation.process import NODE, OperatorProcess
from tools.installation.runners import Runners


def test_an_empty_spec_gives_a_directory_a_bound_claim_and_a_volume_on_the_node(runners: Runners) -> None:
    runners.apply("runner-0")
    storage = runners.wait_ready("runner-0")[0]
    uid = storage["metadata"]["uid"]
    assert storage["status"]["observedGeneration"] == 1
    assert storage["status"]["phase"] == "Ready"
    assert storage["status"]["nodeName"] == NODE
    assert storage["status"]["claimName"] == "runner-0"
    assert storage["status"]["volumeName"] == f"ms-{uid}"
    assert storage["metadata"]["finalizers"] == ["metricsstorage.dev/directory"]

    directory = runners.live("runner-0").stat()
    assert (directory.st_uid, directory.st_gid, stat.S_IMODE(directory.st_mode)) == (1000, 1000, 0o770)

    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["status"]["phase"] == "Bound"
    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    assert claim["metadata"]["ownerReferences"][0]["uid"] == uid
    (volume,) = runners.volumes()
    assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["local"]["path"] == storage["status"]["path"]


def test_everything_is_gone_after_deletion(runners: Runners, operator: OperatorProcess) -> None:
    runners.apply("runner-0", "runner-1")
    runners.wait_ready("runner-0", "runner-1")
    (runners.live("runner-0") / "metrics.json").write_text("{}")
    runners.delete("runner-0", "runner-1")
    runners.wait_gone("runner-0", "runner-1")
    assert not runners.volumes()
    assert not runners.every("pvc")
    assert not (operator.storage_root / runners.namespace).exists()
    private = operator.storage_root / ".metrics-storage"
    for name in ("frozen", "trash"):
        assert not list((private / name).iterdir())


def test_a_spec_with_everything_is_followed(runners: Runners) -> None:
    spec = {
        "capacity": "5Gi",
        "accessModes": ["ReadWriteMany"],
        "directory": {"owner": "1234:nogroup", "mode": "2750"},
    }
    runners.apply("runner-0", spec=spec)
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0").stat()
    assert (directory.st_uid, directory.st_gid, stat.S_IMODE(directory.st_mode)) == (1234, 65534, 0o2750)
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["spec"]["resources"]["requests"] == {"storage": "5Gi"}
    assert claim["status"]["accessModes"] == ["ReadWriteMany"]


def test_retain_leaves_the_directory_and_nothing_else(runners: Runners) -> None:
    runners.apply("runner-0", spec={"deletionPolicy": "Retain"})
    runners.wait_ready("runner-0")
    directory = runners.live("runner-0")
    (directory / "metrics.json").write_text("{}")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    assert (directory / "metrics.json").read_text() == "{}"
    assert not runners.volumes()


def test_two_runners_of_one_name_one_after_the_other_have_two_directories(runners: Runners) -> None:
    runners.apply("runner-0", spec={"deletionPolicy": "Retain"})
    runners.wait_ready("runner-0")
    first = runners.live("runner-0")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    assert runners.live("runner-0") != first
    assert first.is_dir()


def test_usage_appears_in_the_status(runners: Runners) -> None:
    runners.apply("runner-0")
    runners.wait_ready("runner-0")
    (runners.live("runner-0") / "metrics.json").write_bytes(b"x" * 5000)
    storage = runners.wait("runner-0", lambda found: found["status"].get("usage", {}).get("files") == 1, "is measured")
    assert storage["status"]["usage"]["bytes"] >= 5000
