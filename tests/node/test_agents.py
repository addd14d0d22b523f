"""The overlay for many nodes, on one: an agent as a DaemonSet, its controller, and no right but those that they use."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.node.rights import AuditLog, granted, live, roles
from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.installation.deployment import AGENT_USER, DEPLOYMENT, NAMESPACE, USER, Operator
from tools.installation.pods import WRITE_AND_STAY, start, wait_phase
from tools.installation.runners import Runners
from tools.waiting import eventually

OVERLAY = "overlays/agents"
AGENTS = "daemonset/metrics-storage-agent"
AUTHORITY = "configmap/metrics-storage-controller-ca"


@pytest.fixture
def disk(cluster: Cluster) -> Path:
    """The host path of the node, which the kubelet makes."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"the disks of nodes of {cluster.provider} are out of reach")
    return cluster.nodes[0].var_lib / "metrics-storage"


@pytest.fixture
def operator(site: Operator, disk: Path) -> Iterator[Operator]:
    """The controller and its agent, connected."""
    site.install(OVERLAY)
    connect(site)
    yield site
    site.uninstall()
    shutil.rmtree(disk)


def controller_pod(site: Operator) -> dict[str, str]:
    """The status of the controller's Pod."""
    selector = "app.kubernetes.io/name=metrics-storage-operator"
    (pod,) = json.loads(site.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
    return dict(pod["status"])


def connect(site: Operator) -> None:
    """Have agents dial the controller's Pod by its address: nodes of the local cluster have no DNS and no services."""
    flags = [
        "agent",
        f"--controller={controller_pod(site)['podIP']}:8443",
        "--health-address=0.0.0.0:8080",
        "--log-format=json",
    ]
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": flags}]
    site.kubectl("patch", AGENTS, "--type=json", "-p", json.dumps(patch))
    site.kubectl("rollout", "status", AGENTS, "--timeout=90s", timeout=100)


def test_a_runner_writes_on_its_node_and_its_evidence_goes_to_the_vault(
    runners: Runners, operator: Operator, cluster: Cluster, disk: Path
) -> None:
    assert isinstance(cluster, LocalCluster)
    start(runners, "runner-0", script=WRITE_AND_STAY)
    wait_phase(runners, "runner-0", "Running")
    storage = runners.storage("runner-0")
    assert storage["status"]["nodeName"] == cluster.nodes[0].name
    live_directory = disk / "storage" / runners.namespace / f"runner-0_{storage['metadata']['uid']}"
    eventually((live_directory / "pre-job-metrics.json").exists, seconds=20, what="the runner has written")
    runners.quarantine("runner-0")
    runners.wait(
        "runner-0",
        lambda found: found["status"].get("quarantine", {}).get("clean") is False,
        "an archive is there for the time being",
        60,
    )
    runners.kubectl("delete", "pod", "runner-0", "--grace-period=1")
    quarantine = runners.wait_condition("runner-0", "Quarantined", seconds=90)["status"]["quarantine"]
    assert quarantine["clean"]
    ours = operator.archives(runners.namespace)
    assert sorted(found["clean"] for found in ours) == [False, True]
    operator.verify(ours)
    eventually(lambda: not live_directory.exists(), seconds=20, what="the directory is gone")
    runners.delete("runner-0")
    runners.wait_gone("runner-0")
    private = disk / "storage" / ".metrics-storage"
    eventually(lambda: not list((private / "journal").iterdir()), seconds=30, what="the journal is empty")


def test_an_agent_has_no_right_and_its_controller_uses_each_of_its_own(
    runners: Runners, operator: Operator, audit_log: AuditLog
) -> None:
    token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))"
    assert operator.kubectl("exec", AGENTS, "--", "python3", "-c", token).strip() == "False"
    # What the base did with its rights before does not count; how a controller starts does.
    operator.kubectl("delete", "configmap", "metrics-storage-volume-ids")
    since = audit_log.from_now_on()
    operator.kubectl("patch", AUTHORITY, "--type=merge", "-p", '{"data": {"ca.crt": "another"}}')
    operator.kubectl("rollout", "restart", DEPLOYMENT)
    operator.wait_rolled_out()
    connect(operator)
    live(runners)
    assert since.refused(USER) == set()
    used, given = since.used(USER), granted(roles(OVERLAY))
    assert {replace(right, namespace="") for right in used} == {replace(right, namespace="") for right in given}
    assert {right.namespace for right in used if right.resource in ("configmaps", "pods")} == {NAMESPACE}
    assert since.used(AGENT_USER) == since.refused(AGENT_USER) == set()
