"""What is shipped, put onto a cluster whose operator runs as a process beside it."""

import json
from pathlib import Path
from subprocess import run

import yaml

from tests.cluster import Cluster
from tests.cluster.handle import find_kubectl

_BASE = Path(__file__).parents[2] / "manifests" / "base"
_NEEDS_A_NODE = ("Deployment", "PersistentVolumeClaim", "NetworkPolicy")


def install(cluster: Cluster, directory: Path) -> Path:
    """Apply the definition, the rights and the storage class; gives a kubeconfig of the shipped service account."""
    rendered = run([find_kubectl(), "kustomize", _BASE], capture_output=True, check=True, text=True)
    objects = [item for item in yaml.safe_load_all(rendered.stdout) if item["kind"] not in _NEEDS_A_NODE]
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    # Servers before 1.25 do not know CEL rules, and kubectl would refuse the definition for them.
    cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(items))
    cluster.kubectl("wait", "--for=condition=Established", "crd/metricsstorages.metricsstorage.dev", "--timeout=30s")
    return cluster.service_account_kubeconfig("metrics-storage", "metrics-storage-operator", directory)
