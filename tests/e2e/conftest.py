"""The shipped definition and rights, an operator for each module, a namespace for each test."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest
import yaml

from tests.cluster import Cluster
from tests.cluster.handle import find_kubectl
from tests.e2e.operator_process import OperatorProcess
from tests.e2e.runners import Runners
from tests.waiting import eventually

_ROOT = Path(__file__).parents[2]
_NOT_HERE = ("Deployment", "PersistentVolumeClaim", "NetworkPolicy")
"""What of the manifests needs a node; here the operator runs as a process."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def operator_kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with the rights of the shipped service account, everything it needs being installed."""
    rendered = run(
        [find_kubectl(), "kustomize", _ROOT / "manifests" / "base"], capture_output=True, check=True, text=True
    )
    objects = [item for item in yaml.safe_load_all(rendered.stdout) if item["kind"] not in _NOT_HERE]
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    # Servers before 1.25 do not know CEL rules, and kubectl would refuse the definition for them.
    cluster.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(items))
    cluster.kubectl("wait", "--for=condition=Established", "crd/metricsstorages.metricsstorage.dev", "--timeout=30s")
    return cluster.service_account_kubeconfig(
        "metrics-storage", "metrics-storage-operator", tmp_path_factory.mktemp("kubeconfig")
    )


@pytest.fixture(scope="module")
def operator(
    cluster: Cluster, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """A running operator for all namespaces; at the end everything that it made must be gone."""
    operator = OperatorProcess(operator_kubeconfig, tmp_path_factory.mktemp("operator"))
    operator.start()
    yield operator
    if operator.running:
        assert operator.stop() == 0, operator.log[-3000:]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace, left without MetricsStorages."""
    name = f"test-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("-n", name, "delete", "ms", "--all", "--wait=false")
    runners = Runners(cluster, name)
    eventually(lambda: not runners.every("ms"), seconds=60, what=f"{name} is left empty")
    for orphan in runners.volumes():  # Where a test took the finalizer off, the volume is kept on purpose.
        cluster.kubectl("delete", "pv", orphan["metadata"]["name"])
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def runners(cluster: Cluster, operator: OperatorProcess, namespace: str) -> Runners:
    """The MetricsStorages of a fresh namespace, with an operator that watches it."""
    if not operator.running:
        operator.start()
    return Runners(cluster, namespace)
