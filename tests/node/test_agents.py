"""The overlay for many nodes, on three: a DaemonSet of agents, its controller, and no right but those they use."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.node.clusters import opened
from tests.node.rights import AuditLog, granted, live, roles
from tools.cluster.local import LocalCluster
from tools.cluster.plugin import choice_of
from tools.image import BuiltImage
from tools.installation.deployment import AGENT_USER, DEPLOYMENT, NAMESPACE, USER, Operator
from tools.installation.pods import WRITE_AND_END, WRITE_AND_STAY, WRITE_MUCH, objects, start, wait_phase
from tools.installation.runners import Object, Runners
from tools.waiting import eventually

OVERLAY = "overlays/agents"
AGENTS = "daemonset/metrics-storage-agent"
AUTHORITY = "configmap/metrics-storage-controller-ca"
LABEL = "metricsstorage.dev/agent=true"


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> AuditLog:
    """Where the API server writes down who asked for what."""
    return AuditLog(tmp_path_factory.mktemp("audit") / "audit.log")


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, image: BuiltImage, audit_log: AuditLog) -> Iterator[LocalCluster]:
    """Three nodes; the quarantine volume is on the first."""
    if choice_of(request.config).provider != "local":
        pytest.skip("only nodes of the local cluster can be rebooted, and their disks looked at")
    with opened(request.config, image, audit_log, nodes=3) as handle:
        assert isinstance(handle, LocalCluster)
        yield handle


@pytest.fixture(scope="module")
def site(cluster: LocalCluster) -> Iterator[Operator]:
    """The controller and an agent on each node, all connected."""
    site = Operator(cluster)
    site.cluster.kubectl("label", "node", "--all", LABEL)
    site.install(OVERLAY)
    connect(site)
    yield site
    site.uninstall()


@pytest.fixture
def operator(site: Operator) -> Operator:
    """The same, installed once for all."""
    return site


def disk(cluster: LocalCluster, node: str) -> Path:
    """The storage volume of a node, which the kubelet made."""
    (var_lib,) = [Path(each.var_lib) for each in cluster.nodes if each.name == node]
    return var_lib / "metrics-storage" / "storage"


def directory(cluster: LocalCluster, storage: Object) -> Path:
    """Where the directory of a MetricsStorage is, as this machine sees it."""
    metadata = storage["metadata"]
    relative = f"{metadata['namespace']}/{metadata['name']}_{metadata['uid']}"
    return disk(cluster, storage["status"]["nodeName"]) / relative


def start_apart(runners: Runners, *names: str, script: str) -> None:
    """Start runners of which each wants a node of its own, before anybody knows which."""
    made = objects(runners, *names, script=script, spec={"volumeBindingMode": "WaitForFirstConsumer"})
    for pod in made:
        if pod["kind"] == "Pod":
            pod["metadata"]["labels"] = {"app": "runner"}
            apart = {"labelSelector": {"matchLabels": {"app": "runner"}}, "topologyKey": "kubernetes.io/hostname"}
            pod["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    runners.apply_objects(made)


def nothing_left(cluster: LocalCluster, runners: Runners) -> bool:
    """Whether nothing of the runners is on any node."""
    roots = [disk(cluster, node.name) for node in cluster.nodes]
    private = [root / ".metrics-storage" / name for root in roots for name in ("journal", "frozen", "trash")]
    return not any(
        list(path.iterdir()) for path in [*private, *(root / runners.namespace for root in roots)] if path.exists()
    )


def controller_pod(site: Operator) -> dict[str, str]:
    """The status of the controller's Pod."""
    selector = "app.kubernetes.io/name=metrics-storage-operator"
    (pod,) = json.loads(site.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
    return dict(pod["status"])


def connect(site: Operator) -> None:
    """Have agents find the controller's Pod by the service's name: nodes of the local cluster have no DNS."""
    names = [f"metrics-storage-controller.{NAMESPACE}.svc"]
    aliases = [{"ip": controller_pod(site)["podIP"], "hostnames": names}]
    patch = {"spec": {"template": {"spec": {"hostAliases": aliases}}}}
    site.kubectl("patch", AGENTS, "-p", json.dumps(patch))
    # All at once: a rolling update waits for one after the other.
    site.kubectl("delete", "pods", "-l", "app.kubernetes.io/name=metrics-storage-agent", "--grace-period=1")
    site.kubectl("rollout", "status", AGENTS, "--timeout=90s", timeout=100)


def test_a_runner_writes_on_its_node_and_its_evidence_goes_to_the_vault(
    runners: Runners, operator: Operator, cluster: LocalCluster
) -> None:
    start(runners, "runner-0", script=WRITE_AND_STAY)
    wait_phase(runners, "runner-0", "Running")
    live_directory = directory(cluster, runners.storage("runner-0"))
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
    eventually(lambda: nothing_left(cluster, runners), seconds=30, what="nothing is left on the nodes")


def test_directories_are_where_the_pods_are_and_survive_a_reboot_in_a_stream(
    runners: Runners, operator: Operator, cluster: LocalCluster
) -> None:
    names = ["runner-0", "runner-1", "runner-2"]
    start_apart(runners, *names, script=f"{WRITE_AND_END}\n{WRITE_MUCH}")
    for name in names:
        wait_phase(runners, name, "Succeeded", seconds=120)
    storages = {name: runners.wait_condition(name, "Provisioned") for name in names}
    nodes = {name: storages[name]["status"]["nodeName"] for name in names}
    assert set(nodes.values()) == {node.name for node in cluster.nodes}
    for name in names:
        pod = runners.get("pod", name)
        assert pod is not None
        assert pod["spec"]["nodeName"] == nodes[name]
        assert (directory(cluster, storages[name]) / "post-job-metrics.json").exists()
    runners.kubectl("delete", "pods", "--all")
    vault, *others = sorted(names, key=lambda name: nodes[name] != cluster.nodes[0].name)
    runners.quarantine(*others)
    operator.wait_archiving()
    (rebooted,) = [node for node in cluster.nodes if node.name == nodes[others[0]]]
    rebooted.reboot()
    for name in others:
        runners.wait_condition(name, "Quarantined", seconds=180)
    found = operator.final_archives(runners.namespace)
    assert {archive["name"] for archive in found} == set(others)
    operator.verify(found)
    runners.delete(vault, *others)
    runners.wait_all_gone(seconds=60)
    assert not runners.volumes()
    eventually(lambda: nothing_left(cluster, runners), seconds=30, what="nothing is left on the nodes")


def test_a_node_that_is_deleted_holds_nothing_once_a_person_gave_it_up(
    runners: Runners, operator: Operator, cluster: LocalCluster
) -> None:
    node = cluster.nodes[2]
    start(runners, "runner-0", script=WRITE_AND_END, spec={"nodeSelector": {"kubernetes.io/hostname": node.name}})
    wait_phase(runners, "runner-0", "Succeeded")
    storage = runners.wait_condition("runner-0", "Ready")
    runners.kubectl("delete", "pod", "runner-0")
    node.stop()
    operator.cluster.kubectl("delete", "node", node.name)
    runners.quarantine("runner-0")
    runners.delete("runner-0")
    runners.wait_condition("runner-0", "Stalled", reason="NodeLost", seconds=60)
    volume_id = storage["status"]["storageVolumeID"]
    assert node.name in operator.run("metrics-storage", "accept-loss", "--volume", volume_id)
    assert runners.get("mstor", "runner-0")
    operator.run("metrics-storage", "accept-loss", "--volume", volume_id, "--yes")
    runners.wait_all_gone(seconds=60)
    assert not runners.volumes()
    assert not operator.archives(runners.namespace)
    kept = directory(cluster, storage)
    assert (kept / "post-job-metrics.json").exists()
    node.start()
    name = f"node/{node.name}"
    eventually(lambda: operator.cluster.kubectl("get", name, check=False).stdout, seconds=90, what="it registers anew")
    operator.cluster.kubectl("label", name, LABEL)
    orphan = f"orphan: {runners.namespace}/runner-0"
    eventually(lambda: orphan in operator.log(), seconds=180, what="its directory is told as an orphan")
    assert (kept / "post-job-metrics.json").exists()
    shutil.rmtree(kept)
    (disk(cluster, node.name) / ".metrics-storage" / "journal" / f"{storage['metadata']['uid']}.json").unlink()


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
