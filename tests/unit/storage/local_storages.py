"""Storages on a local directory, and what stands of them on the disk."""

import os
from pathlib import Path

from metrics_storage.model.identity import Identity, Uid
from metrics_storage.storage import (
    FilesystemStorageManager,
    MetricsStorage,
)

NOW = "2024-01-01T00:00:00Z"

OWNER = f"{os.getuid()}:{os.getgid()}"


def identity_of(storage: MetricsStorage) -> Identity:
    return Identity("local", storage.runner_name, Uid(storage.path.name.rpartition("_")[2]))


def records(base: Path) -> list[str]:
    return os.listdir(base / ".metrics-storage" / "journal")


def filled(manager: FilesystemStorageManager, name: str = "runner-0", text: str = "{not JSON") -> MetricsStorage:
    storage = manager.create(name)
    (storage.path / "metrics.json").write_text(text)
    return storage
