"""The node loses power: its processes and mounts are gone, its disk is as it was."""

import pytest

from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.cluster.nodes.node import ClusterNode
from tools.installation.deployment import Operator
from tools.installation.pods import WRITE_AND_END, WRITE_AND_STAY, WRITE_MUCH, phase, run_to_end, start, wait_phase
from tools.installation.runners import Runners
from tools.waiting import eventually


@pytest.fixture
def node(cluster: Cluster) -> ClusterNode:
    """A node that can be rebooted."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"only nodes of the local cluster can be rebooted, not those of {cluster.provider}")
    return cluster.nodes[0]


def test_a_reboot_in_the_middle_of_an_archive_loses_nothing(
    runners: Runners, operator: Operator, node: ClusterNode
) -> None:
    start(runners, "runner-0", script=WRITE_AND_END)
    start(runners, "runner-1", script=WRITE_AND_STAY)
    start(runners, "runner-2", script=WRITE_MUCH)
    wait_phase(runners, "runner-0", "Succeeded")
    wait_phase(runners, "runner-1", "Running")
    wait_phase(runners, "runner-2", "Succeeded")
    runners.kubectl("delete", "pod", "runner-0", "runner-2")
    restarts = operator.restarts()
    runners.quarantine("runner-2")
    operator.wait_archiving()
    node.reboot()
    eventually(lambda: operator.restarts() > restarts, seconds=120, what="the operator's container is started again")
    operator.wait_rolled_out()
    runners.wait_condition("runner-2", "Quarantined", seconds=120)
    (archive,) = operator.final_archives(runners.namespace)
    assert archive["name"] == "runner-2"
    operator.verify([archive])
    read = run_to_end(runners, "collector", "cat /metrics/post-job-metrics.json", claim="runner-0")
    assert read.strip() == '{"state": "done"}'
    start(runners, "runner-3", script=WRITE_AND_END)
    wait_phase(runners, "runner-3", "Succeeded")
    eventually(lambda: phase(runners, "runner-1") != "Running", seconds=120, what="who ran is known to have ended")
    runners.kubectl("delete", "pods", "--all")
    runners.delete("runner-0", "runner-1", "runner-2", "runner-3")
    runners.wait_all_gone(seconds=120)
    operator.assert_nothing_left(runners.namespace)
