"""The shipped definition and rights, an operator for each module, a namespace for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tenant import Account, tenant
from tools.cluster import Cluster
from tools.installation.definition import install
from tools.installation.process import OperatorProcess
from tools.installation.runners import Runners
from tools.waiting import eventually

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def operator_kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with the rights of the shipped service account, everything it needs being installed."""
    return install(cluster, tmp_path_factory.mktemp("kubeconfig"))


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
    cluster.kubectl("-n", name, "delete", "mstor", "--all", "--wait=false")
    runners = Runners(cluster, name)
    eventually(lambda: not runners.every("mstor"), seconds=60, what=f"{name} is left empty")
    for orphan in runners.volumes():  # Where a test took the finalizer off, the volume is kept on purpose.
        cluster.kubectl("delete", "pv", orphan["metadata"]["name"])
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def runners(cluster: Cluster, operator: OperatorProcess, namespace: str) -> Runners:
    """The MetricsStorages of a fresh namespace, with an operator that watches it."""
    if not operator.running:
        operator.start()
    return Runners(cluster, namespace)


@pytest.fixture
def attacker(runners: Runners, tmp_path: Path) -> Account:
    """The tenant of the namespace."""
    return tenant(runners, tmp_path)
