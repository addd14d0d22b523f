"""Another image is rolled over a running one while it works, and back again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.node.images import load
from tools.cluster import Cluster
from tools.image import BuiltImage
from tools.image.relabel import relabel
from tools.installation.deployment import QUARANTINE, Operator
from tools.installation.pods import MUCH, WRITE_MUCH, start, wait_phase
from tools.installation.runners import Runners
from tools.waiting import eventually

_TAG = "0.1.1-test"


@pytest.fixture(scope="module")
def newer(cluster: Cluster, image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tag of another image on the nodes: the same program under another label."""
    archive = tmp_path_factory.mktemp("image") / "newer.tar"
    relabel(image.archive, archive, f"metrics-storage-operator:{_TAG}", {"org.opencontainers.image.version": _TAG})
    load(cluster, archive)
    archive.unlink()
    return _TAG


@pytest.fixture
def back(operator: Operator) -> Iterator[None]:
    """In the end the image of the base runs again."""
    yield
    operator.apply("base")
    operator.wait_rolled_out()


def running(operator: Operator) -> str:
    """The tag of the image that runs."""
    return str(operator.pod()["status"]["containerStatuses"][0]["image"]).rpartition(":")[2]


def ready(runners: Runners) -> int:
    """How many MetricsStorages are Ready."""
    return sum(storage.get("status", {}).get("phase") == "Ready" for storage in runners.every("mstor"))


@pytest.mark.usefixtures("back")
def test_an_upgrade_in_the_middle_of_provisioning_makes_each_directory_once(
    runners: Runners, operator: Operator, newer: str, tmp_path: Path
) -> None:
    names = [f"runner-{number}" for number in range(200)]
    with ThreadPoolExecutor(1) as pool:
        applying = pool.submit(runners.apply, *names)
        eventually(lambda: ready(runners) >= 10, seconds=60, what="some are provided")
        operator.apply_image(newer, tmp_path)
        assert ready(runners) < len(names), "all were provided before the upgrade"
        applying.result()
    operator.wait_rolled_out()
    assert running(operator) == newer
    eventually(lambda: ready(runners) == len(names), seconds=120, what="all are provided")
    storages = runners.every("mstor")
    assert len({storage["status"]["path"] for storage in storages}) == len(names)
    assert {volume["metadata"]["name"] for volume in runners.volumes()} == {
        f"ms-{storage['metadata']['uid']}" for storage in storages
    }
    runners.delete(*names)
    runners.wait_all_gone(seconds=180)
    operator.assert_nothing_left(runners.namespace)


def test_an_upgrade_in_the_middle_of_an_archive_and_a_rollback_commit_one_archive(
    runners: Runners, operator: Operator, newer: str, tmp_path: Path
) -> None:
    start(runners, "runner-0", script=WRITE_MUCH)
    wait_phase(runners, "runner-0", "Succeeded")
    runners.kubectl("delete", "pod", "runner-0")
    runners.quarantine("runner-0")
    operator.wait_archiving()
    operator.apply_image(newer, tmp_path)
    operator.wait_rolled_out()
    assert running(operator) == newer
    operator.wait_archiving()
    operator.apply("base")
    operator.wait_rolled_out()
    runners.wait_condition("runner-0", "Quarantined", seconds=120)
    (archive,) = operator.final_archives(runners.namespace)
    assert archive["payload_bytes"] == MUCH << 20
    operator.verify([archive])
    eventually(lambda: not runners.volumes(), seconds=30, what="the volume is gone")
    assert not [path for path in operator.tree(QUARANTINE) if path.startswith(".metrics-storage/incoming/")]
