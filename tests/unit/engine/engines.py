"""Engines on two volumes, opened and closed with their contexts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume


@contextmanager
def engine_on(storage_root: Path, quarantine_root: Path, *, adopting: bool = False) -> Iterator[StorageEngine]:
    """An engine on two directories that are there; it has the lock."""
    with (
        Volume(storage_root, Role.STORAGE, initialise=True) as storage,
        Volume(quarantine_root, Role.QUARANTINE, initialise=True) as quarantine,
    ):
        storage.lock()
        yield StorageEngine(storage, LocalVault(quarantine), adopting=adopting)


@contextmanager
def engine_below(root: Path, *, adopting: bool = False) -> Iterator[StorageEngine]:
    """An engine on `storage` and `quarantine` below a directory, which are made where they are missing."""
    for name in ("storage", "quarantine"):
        (root / name).mkdir(parents=True, exist_ok=True)
    with engine_on(root / "storage", root / "quarantine", adopting=adopting) as engine:
        yield engine
