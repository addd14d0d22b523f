"""A controller and agents of two nodes, as processes: directories on both, evidence in one vault, restarts of each."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.cli.main import main
from tests.e2e.fleet import Fleet, installed, make_node
from tools.cluster import Cluster
from tools.installation.fleet import ControllerProcess
from tools.installation.runners import Runners, condition
from tools.waiting import eventually

NODES = ("node-a", "node-b")
SELECTED = "volume.kubernetes.io/selected-node"


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two nodes, with what the overlay for agents gives the controller."""
    root = tmp_path_factory.mktemp("fleet")
    with installed(cluster, ControllerProcess(operator_kubeconfig, root / "controller")) as fleet:
        for name in NODES:
            fleet.join(name, root / name)
        fleet.controller.start()
        fleet.start(*NODES)
        yield fleet


@pytest.fixture
def runners(cluster: Cluster, fleet: Fleet, namespace: str) -> Runners:
    """The MetricsStorages of a fresh namespace, with a controller that watches it."""
    return Runners(cluster, namespace)


def test_lives_on_two_nodes_end_in_one_vault(fleet: Fleet, runners: Runners) -> None:
    names = [f"runner-{number}" for number in range(4)]
    runners.apply(*names)
    storages = {each["metadata"]["name"]: each for each in runners.wait_ready(*names)}
    assert sorted(storage["status"]["nodeName"] for storage in storages.values()) == ["node-a"] * 2 + ["node-b"] * 2
    for storage in storages.values():
        (fleet.directory(storage) / "metrics.json").write_text("{")
    for volume in runners.volumes():
        name = volume["spec"]["claimRef"]["name"]
        assert storages[name]["status"]["nodeName"] in json.dumps(volume["spec"]["nodeAffinity"])
    flagged = {storage["status"]["nodeName"]: name for name, storage in storages.items()}
    runners.quarantine(*flagged.values())
    for node, name in flagged.items():
        storage = runners.wait_condition(name, "Stalled", reason="Quarantined")
        archive = fleet.controller.quarantine_root / storage["status"]["quarantine"]["archive"]
        manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
        assert json.loads(manifest.read_text().splitlines()[0])["node"] == node
        assert not fleet.directory(storage).exists()
    runners.delete(*names)
    eventually(lambda: not runners.every("mstor"), seconds=60, what="everything is deleted")
    eventually(lambda: not runners.volumes(), seconds=30, what="all volumes are gone")
    eventually(lambda: not fleet.journals(), seconds=30, what="the journals are empty")
    left = [path for agent in fleet.agents.values() for path in agent.storage_root.glob(f"{runners.namespace}/*")]
    assert left == []


def test_a_node_selector_and_a_cordon_decide_where_a_directory_goes(fleet: Fleet, runners: Runners) -> None:
    runners.apply("a", "b", spec={"nodeSelector": {"pool": "node-b"}})
    assert [storage["status"]["nodeName"] for storage in runners.wait_ready("a", "b")] == ["node-b"] * 2
    fleet.cluster.kubectl("cordon", "node-b")
    try:
        runners.apply("c", spec={"nodeSelector": {"pool": "node-b"}})
        storage = runners.wait_condition("c", "Reconciling", reason="NodeUnavailable")
        assert "none of the 2 connected nodes can take it with pool=node-b" in json.dumps(storage["status"])
    finally:
        fleet.cluster.kubectl("uncordon", "node-b")
    assert runners.wait_ready("c")[0]["status"]["nodeName"] == "node-b"


def test_a_directory_that_waits_for_its_pod_is_made_where_the_scheduler_says(fleet: Fleet, runners: Runners) -> None:
    runners.apply("runner-0", spec={"volumeBindingMode": "WaitForFirstConsumer"})
    storage = runners.wait_condition("runner-0", "Ready", reason="WaitingForFirstConsumer")
    assert condition(storage, "Provisioned")["status"] == "False"
    assert not runners.volumes()
    for node, reason in (("nowhere", "WaitingForFirstConsumer"), ("node-b", "Provisioned")):
        runners.kubectl("annotate", "pvc", "runner-0", f"{SELECTED}={node}")
        if node == "nowhere":
            eventually(
                lambda: SELECTED not in runners.get("pvc", "runner-0")["metadata"].get("annotations", {}),  # type: ignore[index]
                seconds=10,
                what="the scheduler may choose again",
            )
        storage = runners.wait_condition("runner-0", "Ready", reason=reason, seconds=10)
    assert storage["status"]["nodeName"] == "node-b"
    assert fleet.directory(storage).is_dir()
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    assert claim["status"]["phase"] == "Bound"


def test_a_killed_controller_goes_on_where_it_was(fleet: Fleet, runners: Runners) -> None:
    runners.apply("runner-0")
    (before,) = runners.wait_ready("runner-0")
    (fleet.directory(before) / "metrics.json").write_text("{")
    fleet.controller.kill()
    runners.quarantine("runner-0")
    runners.apply("runner-1")
    fleet.controller.start()
    storage = runners.wait_condition("runner-0", "Stalled", reason="Quarantined", seconds=60)
    assert storage["status"]["storageVolumeID"] == before["status"]["storageVolumeID"]
    runners.wait_ready("runner-1")


def test_what_is_on_a_node_that_is_away_waits_for_it(fleet: Fleet, runners: Runners) -> None:
    runners.apply("runner-0")
    (storage,) = runners.wait_ready("runner-0")
    directory, node = fleet.directory(storage), storage["status"]["nodeName"]
    (directory / "metrics.json").write_text("{")
    fleet.agents[node].kill()
    runners.quarantine("runner-0")
    runners.wait_condition("runner-0", "Reconciling", reason="NodeUnavailable", seconds=60)
    runners.delete("runner-0")
    assert directory.is_dir()
    fleet.start(node)
    eventually(lambda: not runners.every("mstor"), seconds=60, what="it is archived, and then gone")
    archives = list(fleet.controller.quarantine_root.glob(f"{runners.namespace}/*.tar.gz"))
    assert len(archives) == 1
    assert not directory.exists()


def test_what_is_lost_with_its_node_is_let_go_once_a_person_says_so(fleet: Fleet, runners: Runners) -> None:
    runners.apply("idle", "flagged", spec={"nodeSelector": {"pool": "node-b"}})
    storages = runners.wait_ready("idle", "flagged")
    directories = [fleet.directory(storage) for storage in storages]
    for directory in directories:
        (directory / "metrics.json").write_text("{")
    fleet.agents["node-b"].kill()
    fleet.cluster.kubectl("delete", "node", "node-b")
    runners.quarantine("flagged")
    runners.delete("idle", "flagged")
    for name in ("idle", "flagged"):
        runners.wait_condition(name, "Stalled", reason="NodeLost", seconds=60)
    lost = storages[0]["status"]["storageVolumeID"]
    vault = f"--quarantine-root={fleet.controller.quarantine_root}"
    assert main(["accept-loss", vault, "--volume", lost, "--yes"]) == 0
    runners.wait_all_gone(60)
    assert not runners.volumes()
    assert all((directory / "metrics.json").exists() for directory in directories)
    told = [event["message"] for event in runners.every("events") if event["reason"] == "NodeLost"]
    assert sum("without removing its directory" in message for message in told) == 2
    assert sum("without the archive that was asked for" in message for message in told) == 1
    make_node(fleet.cluster, "node-b")
    fleet.start("node-b")
    orphan = f"orphan: {runners.namespace}/idle"
    eventually(lambda: orphan in fleet.controller.log, seconds=30, what="what came back is told as an orphan")
    assert all((directory / "metrics.json").exists() for directory in directories)
