"""The overlay for host paths: two directories of one node in place of two claims."""

import shutil
from collections.abc import Iterator

import pytest

from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.installation.deployment import Operator
from tools.installation.pods import WRITE_AND_END, start, wait_phase
from tools.installation.runners import Runners
from tools.waiting import eventually


@pytest.fixture
def operator(site: Operator, cluster: Cluster) -> Iterator[Operator]:
    """The operator on a node that was prepared as the overlay's comments say."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"no directories can be made on nodes of {cluster.provider} from here")
    node = cluster.nodes[0]
    directory = node.var_lib / "metrics-storage"
    cluster.kubectl("label", "node", node.name, "metricsstorage.dev/storage=here")
    directory.mkdir(mode=0o755)
    (directory / "storage").mkdir(mode=0o755)
    (directory / "quarantine").mkdir(mode=0o700)
    site.install("overlays/hostpath")
    yield site
    site.uninstall()
    cluster.kubectl("label", "node", node.name, "metricsstorage.dev/storage-")
    shutil.rmtree(directory)


def test_runners_write_below_the_nodes_directory_and_evidence_stays_there(
    runners: Runners, operator: Operator, cluster: Cluster
) -> None:
    assert isinstance(cluster, LocalCluster)
    disk = cluster.nodes[0].var_lib / "metrics-storage"
    start(runners, "runner-0", script=WRITE_AND_END)
    wait_phase(runners, "runner-0", "Succeeded")
    uid = runners.storage("runner-0")["metadata"]["uid"]
    live = disk / "storage" / runners.namespace / f"runner-0_{uid}"
    assert (live / "post-job-metrics.json").read_text() == '{"state": "done"}\n'
    runners.kubectl("delete", "pod", "runner-0")
    runners.quarantine("runner-0")
    quarantine = runners.wait_condition("runner-0", "Quarantined", seconds=60)["status"]["quarantine"]
    assert quarantine["clean"]
    assert (disk / "quarantine" / quarantine["archive"]).is_file()
    eventually(lambda: not live.exists(), seconds=20, what="the directory is gone")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    operator.assert_nothing_left(runners.namespace)
