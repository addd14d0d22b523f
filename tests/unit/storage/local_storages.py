"""Storages on a local directory, and the engine below them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume

OWNER = f"{os.getuid()}:{os.getgid()}"


@contextmanager
def engine_of(base: Path, quarantine: Path) -> Iterator[StorageEngine]:
    """The engine, to leave things as a crash would."""
    with (
        Volume(base, Role.STORAGE, initialise=True) as storage,
        Volume(quarantine, Role.QUARANTINE, initialise=True) as archive,
    ):
        storage.lock()
        yield StorageEngine(storage, archive)
