"""Stands in for the default class of a cluster that has none: two volumes made by hand, on the node's disk.

They are reclaimed as cautious classes reclaim: what is on them stays when their claims go.
"""

import json
import shutil
from typing import Any, Final

from tools.cluster import Cluster
from tools.cluster.local import LocalCluster

_CLASS: Final = "standard"
_DIRECTORIES: Final = ("disk-1", "disk-2")


def make_default_class(cluster: Cluster) -> None:
    """A default class, and as many empty volumes of it as the operator has claims; other providers have their own."""
    if not isinstance(cluster, LocalCluster):
        return
    node = cluster.nodes[0]
    for name in _DIRECTORIES:
        cluster.kubectl("delete", "pv", name, "--ignore-not-found")
        shutil.rmtree(node.var_lib / name, ignore_errors=True)
        (node.var_lib / name).mkdir(mode=0o755)
    items = [_storage_class(), *(_volume(name, node.name) for name in _DIRECTORIES)]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": _CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(name: str, node: str) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": _CLASS,
            "local": {"path": f"/var/lib/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
