"""Fixtures: a server in miniature, the operator behind it, a manager that asks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.storage import (
    KubernetesStorageManager,
)
from tests.unit.storage.cluster import ApiServer
from tests.unit.storage.kubernetes.scripted import (
    ScriptedOperator,
)


@pytest.fixture
def operator() -> ScriptedOperator:
    return ScriptedOperator()


@pytest.fixture
def api(operator: ScriptedOperator) -> Iterator[ApiServer]:
    with ApiServer(operator) as api:
        yield api


@pytest.fixture
def manager(api: ApiServer, tmp_path: Path) -> Iterator[KubernetesStorageManager]:
    with KubernetesStorageManager("runners", api.write_kubeconfig(tmp_path / "kubeconfig"), timeout=0.3) as manager:
        yield manager
