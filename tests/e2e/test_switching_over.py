"""An installation with one storage volume becomes one with agents: the volume is its node's agent's from then on."""

from pathlib import Path

import pytest

from tests.e2e.fleet import installed
from tools.cluster import Cluster
from tools.installation.fleet import ControllerProcess
from tools.installation.process import NODE, OperatorProcess
from tools.installation.runners import Runners
from tools.waiting import eventually

OTHER = "node-2"


@pytest.fixture(scope="module")
def operator(operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> OperatorProcess:
    """The operator of one storage volume, which the test stops."""
    flags = ("--sweep-interval=1", "--operator-namespace=metrics-storage")
    return OperatorProcess(operator_kubeconfig, tmp_path_factory.mktemp("operator"), flags=flags)


def test_the_volume_of_one_operator_becomes_that_of_its_nodes_agent(
    cluster: Cluster, operator: OperatorProcess, runners: Runners, tmp_path: Path
) -> None:
    runners.apply("kept", "flagged", "deleted")
    before = {each["metadata"]["name"]: each for each in runners.wait_ready("kept", "flagged", "deleted")}
    directories = {name: Path(storage["status"]["path"]) for name, storage in before.items()}
    for directory in directories.values():
        (directory / "metrics.json").write_text("{")
    assert operator.stop() == 0
    controller = ControllerProcess(
        operator.kubeconfig, operator.directory, agents_directory=operator.storage_root, log_name="controller.log"
    )
    with installed(cluster, controller) as fleet:
        fleet.join(NODE, operator.directory)
        fleet.join(OTHER, tmp_path / OTHER)
        controller.start()
        # Before the node that has the directories is there, nothing is made elsewhere, and nothing let go.
        fleet.start(OTHER)
        runners.delete("deleted")
        runners.quarantine("flagged")
        for name in ("deleted", "flagged"):
            runners.wait_condition(name, "Ready", "False", reason="NodeUnavailable", seconds=30)
        assert not list(fleet.agents[OTHER].storage_root.glob(f"{runners.namespace}/*"))
        fleet.start(NODE)
        runners.wait_gone("deleted", seconds=60)
        assert not directories["deleted"].exists()
        storage = runners.wait_condition("flagged", "Stalled", reason="Quarantined", seconds=60)
        assert (controller.quarantine_root / storage["status"]["quarantine"]["archive"]).exists()
        kept = runners.wait("kept", lambda found: found["status"].get("storageVolumeID"), "its volume is named")
        assert (kept["status"]["path"], kept["status"]["nodeName"]) == (str(directories["kept"]), NODE)
        assert (directories["kept"] / "metrics.json").exists()
        runners.delete("kept", "flagged")
        runners.wait_all_gone(60)
        eventually(lambda: not fleet.journals(), seconds=30, what="the journals are empty")
