"""What is shipped, put onto a cluster whose operator runs as a process beside it."""

import json
from pathlib import Path
from subprocess import run

import yaml

from tools.cluster import Cluster
from tools.cluster.handle import find_kubectl
from tools.waiting import eventually

_BASE = Path(__file__).parents[2] / "manifests" / "base"
_DEFINITION = "metricsstorages.metricsstorage.dev"
_NEEDS_A_NODE = ("Deployment", "PersistentVolumeClaim", "NetworkPolicy")


def install(cluster: Cluster, directory: Path) -> Path:
    """Apply the definition, the rights and the storage class; gives a kubeconfig of the shipped service account."""
    rendered = run([find_kubectl(), "kustomize", _BASE], capture_output=True, check=True, text=True)
    objects = [item for item in yaml.safe_load_all(rendered.stdout) if item["kind"] not in _NEEDS_A_NODE]
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    # Servers before 1.25 do not know CEL rules, and kubectl would refuse the definition for them.
    cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(items))
    wait_established(cluster)
    return cluster.service_account_kubeconfig("metrics-storage", "metrics-storage-operator", directory)


def wait_established(cluster: Cluster) -> None:
    """Wait until the definition is served. `kubectl wait` fails on conditions that are null, as they are at first."""

    def established() -> bool:
        definition = json.loads(cluster.kubectl("get", f"crd/{_DEFINITION}", "-o", "json").stdout)
        conditions = definition.get("status", {}).get("conditions") or []
        return ("Established", "True") in [(entry["type"], entry["status"]) for entry in conditions]

    eventually(established, seconds=30, what=f"{_DEFINITION} is established")
    # Established comes a moment before requests are answered.
    listing = "/apis/metricsstorage.dev/v1/metricsstorages"
    eventually(
        lambda: cluster.kubectl("get", "--raw", listing, check=False).returncode == 0,
        seconds=30,
        what=f"{_DEFINITION} is served",
    )
