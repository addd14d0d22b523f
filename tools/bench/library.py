"""What the library's calls on a local directory cost, with one storage and with many, as ratios of one run."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Final

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage import FilesystemStorageManager

_OWNER: Final = f"{os.getuid()}:{os.getgid()}"
_ROUNDS: Final = 5
_COLLECTED: Final = 100


def measure(many: int) -> None:
    """Print the best of a few rounds, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="bench-library-") as root:
        base, quarantine = Path(root, "base"), Path(root, "quarantine")
        manager = FilesystemStorageManager(base, quarantine, _OWNER)
        numbers = count()
        one = _costs(manager, base, numbers)
        _provide(base, quarantine, many)
        others = _costs(manager, base, numbers)
        collecting = _timed(_collect, manager)
    print(f"library: milliseconds with one storage, with {many:,} more, and the ratio")
    for call, cost in one.items():
        print(f"  {call:9} {cost:8.2f} {others[call]:8.2f} {others[call] / cost:6.1f}")
    ratio = others["list_all"] / others["iterdir"]
    print(f"  a collector lists all and deletes {_COLLECTED} of them in {collecting:.0f} ms")
    print(f"  list_all takes {ratio:.1f} times as long as iterdir with stat of the same {many:,} directories")


def _costs(manager: FilesystemStorageManager, base: Path, numbers: Iterator[int]) -> dict[str, float]:
    names = [f"measured-{next(numbers)}" for _ in range(_ROUNDS)]
    return {
        "create": min(_timed(manager.create, name) for name in names),
        "get": min(_timed(manager.get, name) for name in names),
        "list_all": min(_timed(lambda: list(manager.list_all())) for _ in names),
        "iterdir": min(_timed(lambda: [path.stat() for path in (base / "local").iterdir()]) for _ in names),
        "delete": min(_timed(manager.delete, name) for name in names),
    }


def _collect(manager: FilesystemStorageManager) -> None:
    for storage in islice(manager.list_all(), _COLLECTED):
        manager.delete(storage.runner_name)


def _timed(call: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - began) * 1000


def _provide(base: Path, quarantine: Path, many: int) -> None:
    """Storages as the library makes them, without opening the volumes for each."""
    with (
        Volume(base, Role.STORAGE, initialise=False) as storage,
        Volume(quarantine, Role.QUARANTINE, initialise=False) as archives,
    ):
        storage.lock()
        engine = StorageEngine(storage, LocalVault(archives))
        for number in range(many):
            engine.ensure(Identity("local", f"runner-{number}", Uid.new()), StorageSpec(owner=_OWNER))
