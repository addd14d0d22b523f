"""The contract of storage managers, kept by the one for clusters against a cluster in miniature."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.storage import KubernetesStorageManager, StorageManager
from tests.contract.suite import StorageManagerContract
from tests.unit.storage.cluster import ApiServer, Operator


class TestKubernetesStorageManager(StorageManagerContract):
    @pytest.fixture
    def quarantine_root(self, tmp_path: Path) -> Path:
        return tmp_path / "quarantine"

    @pytest.fixture
    def manager(self, tmp_path: Path, quarantine_root: Path) -> Iterator[StorageManager]:
        operator = Operator(tmp_path / "storage", quarantine_root, f"{os.getuid()}:{os.getgid()}")
        with (
            ApiServer(operator) as api,
            KubernetesStorageManager("runners", api.write_kubeconfig(tmp_path / "kubeconfig"), timeout=10) as manager,
        ):
            yield manager
        operator.close()
