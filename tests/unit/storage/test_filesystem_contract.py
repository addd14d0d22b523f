"""The contract of storage managers, kept by everything that works on a local directory."""

import os
from pathlib import Path

import pytest

from metrics_storage import storage
from metrics_storage.storage import FilesystemStorageManager, MetricsStorage, StorageManager
from tests.contract.suite import StorageManagerContract

OWNER = f"{os.getuid()}:{os.getgid()}"


class _Local(StorageManagerContract):
    @pytest.fixture
    def quarantine_root(self, tmp_path: Path) -> Path:
        return tmp_path / "quarantine"


class TestFilesystemStorageManager(_Local):
    @pytest.fixture
    def manager(self, tmp_path: Path, quarantine_root: Path) -> StorageManager:
        return FilesystemStorageManager(tmp_path / "base", quarantine_root, OWNER)


class TestModule(_Local):
    @pytest.fixture
    def manager(self, tmp_path: Path, quarantine_root: Path, monkeypatch: pytest.MonkeyPatch) -> StorageManager:
        monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", str(tmp_path / "base"))
        monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_PATH", str(quarantine_root))
        monkeypatch.setenv("METRICS_STORAGE_OWNER", OWNER)
        return storage


class FourFunctions:
    """A manager that knows nothing of quarantine."""

    def __init__(self, manager: FilesystemStorageManager) -> None:
        self.create = manager.create
        self.list_all = manager.list_all
        self.get = manager.get
        self.delete = manager.delete


class TestManagerWithoutQuarantine(_Local):
    @pytest.fixture
    def manager(self, tmp_path: Path, quarantine_root: Path, monkeypatch: pytest.MonkeyPatch) -> StorageManager:
        monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_PATH", str(quarantine_root))
        return FourFunctions(FilesystemStorageManager(tmp_path / "base", tmp_path / "unused", OWNER))


def test_a_storage_is_a_path_and_a_runner_name() -> None:
    assert MetricsStorage(Path("/srv/runner-0"), "runner-0") == MetricsStorage(
        path=Path("/srv/runner-0"), runner_name="runner-0"
    )
