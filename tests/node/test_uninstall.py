"""Removed in the right order, and in the wrong one: what stays, and how to go on."""

import json
from typing import Final

import pytest

from tools.cluster import Cluster
from tools.cluster.local import LocalCluster
from tools.installation.deployment import DEPLOYMENT, NAMESPACE, Operator
from tools.installation.pods import WRITE_AND_END, start, wait_phase
from tools.installation.runners import Runners
from tools.waiting import eventually

_OURS: Final = (
    "crd/metricsstorages.metricsstorage.dev",
    f"namespace/{NAMESPACE}",
    "clusterrole/metrics-storage-operator",
    "clusterrolebinding/metrics-storage-operator",
    "storageclass/metrics-storage",
)


def left(cluster: Cluster) -> list[str]:
    """What is there of the cluster-wide objects that the base installs."""
    return cluster.kubectl("get", *_OURS, "--ignore-not-found", "-o", "name").stdout.split()


def test_the_documented_order_empties_the_cluster_and_leaves_the_archives(
    runners: Runners, operator: Operator, cluster: Cluster
) -> None:
    start(runners, "runner-0", "runner-1", script=WRITE_AND_END, spec={"deletionPolicy": "Quarantine"})
    wait_phase(runners, "runner-0", "Succeeded")
    wait_phase(runners, "runner-1", "Succeeded")
    runners.kubectl("delete", "pods", "--all")
    operator.uninstall()
    assert left(cluster) == []
    volumes = json.loads(cluster.kubectl("get", "pv", "-o", "json").stdout)["items"]
    assert not [volume for volume in volumes if volume["metadata"]["name"].startswith("ms-")]
    if isinstance(cluster, LocalCluster):
        disks = cluster.nodes[0].var_lib
        kept = [path.name.partition("_")[0] for path in disks.glob(f"disk-*/{runners.namespace}/runner-?_*.tar.gz")]
        assert set(kept) == {"runner-0", "runner-1"}
        assert not list(disks.glob(f"disk-*/{runners.namespace}/runner-?_*[!z]/"))


def test_who_removes_the_operator_first_gets_it_back_and_loses_nothing(
    runners: Runners, operator: Operator, cluster: Cluster
) -> None:
    claims = json.loads(operator.kubectl("get", "pvc", "-o", "json"))["items"]
    volume_of = {claim["metadata"]["name"]: claim["spec"]["volumeName"] for claim in claims}
    policies = cluster.kubectl("get", "pv", "-o", "jsonpath={.items[*].spec.persistentVolumeReclaimPolicy}").stdout
    if "Delete" in policies.split():
        pytest.skip("the default class of this cluster deletes the data with the claims")
    start(runners, "runner-0", script=WRITE_AND_END)
    start(runners, "runner-1", script=WRITE_AND_END, spec={"deletionPolicy": "Quarantine"})
    wait_phase(runners, "runner-0", "Succeeded")
    wait_phase(runners, "runner-1", "Succeeded")
    runners.kubectl("delete", "pods", "--all")

    operator.delete("base")
    operator.wait_removed()
    for name in ("runner-0", "runner-1"):
        metadata = runners.storage(name)["metadata"]
        assert "deletionTimestamp" in metadata
        assert metadata["finalizers"] == ["metricsstorage.dev/directory"]
    assert left(cluster) == ["customresourcedefinition.apiextensions.k8s.io/metricsstorages.metricsstorage.dev"]

    # As docs/operations.md says under "The operator was removed before its resources".
    for claim, volume in volume_of.items():
        reference = {"namespace": NAMESPACE, "name": claim, "uid": None, "resourceVersion": None}
        cluster.kubectl("patch", "pv", volume, "-p", json.dumps({"spec": {"claimRef": reference}}))
    operator.apply("base")
    operator.wait_rolled_out()
    # It is the sweep that finishes what waits for a definition that is being deleted, after two intervals of a minute.
    eventually(lambda: _OURS[0].partition("/")[2] not in definitions(cluster), seconds=240, what="all of it is gone")
    archives = operator.final_archives(runners.namespace)
    assert [archive["name"] for archive in archives] == ["runner-1"]
    operator.verify(archives)

    operator.apply("base")
    operator.kubectl("rollout", "restart", DEPLOYMENT)
    operator.wait_rolled_out()
    operator.installed = "base"
    runners.apply("runner-2")
    runners.wait_ready("runner-2", seconds=60)
    runners.delete("runner-2")
    # The journal forgets who is gone in a sweep, which takes a definition to ask for.
    operator.assert_nothing_left(runners.namespace, seconds=120)


def definitions(cluster: Cluster) -> list[str]:
    """The names of all definitions of resources."""
    names = "jsonpath={.items[*].metadata.name}"
    return cluster.kubectl("get", "crd", "-o", names).stdout.split()
