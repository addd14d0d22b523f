"""An engine on two volumes in one directory, opened and closed with its context."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume


@contextmanager
def engine_below(root: Path, *, adopting: bool = False) -> Iterator[StorageEngine]:
    """An engine on `storage` and `quarantine` below a directory, which are made where they are missing."""
    for name in ("storage", "quarantine"):
        (root / name).mkdir(parents=True, exist_ok=True)
    with (
        Volume(root / "storage", Role.STORAGE, initialise=True) as storage,
        Volume(root / "quarantine", Role.QUARANTINE, initialise=True) as quarantine,
    ):
        storage.lock()
        yield StorageEngine(storage, quarantine, adopting=adopting)
