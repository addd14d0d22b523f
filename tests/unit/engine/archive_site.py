"""A storage volume, a quarantine volume and archives on it, for tests of what happens to archives afterwards."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.store import ArchiveStore, Stored
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import ArchiveName, Identity, Uid
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.archiving import HEADER, Archiving

UIDS = tuple(Uid(f"{number}b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11") for number in range(10))
RUNNER = Identity("runners", "runner-0", UIDS[0])
SPEC = StorageSpec(owner=f"{os.getuid()}:{os.getgid()}")


@dataclass
class Site:
    """Both volumes, opened."""

    root: Path
    engine: StorageEngine
    store: ArchiveStore

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    def fill(self, identity: Identity, content: bytes = b"metrics") -> Path:
        """Provision a directory with a file in it and latch its quarantine."""
        self.engine.ensure(identity, SPEC)
        live = self.storage / identity.namespace / identity.directory_name
        (live / "metrics.json").write_bytes(content)
        self.engine.latch(identity, "not JSON", "2026-01-01T00:00:00Z")
        return live

    def archive(self, identity: Identity = RUNNER, *, gone: bool = True, provisional: bool = False) -> Stored:
        """Quarantine a directory; without `gone` its source is still there."""
        self.fill(identity)
        if provisional:
            self.engine.snapshot(identity)
        self.engine.archive(identity)
        if gone:
            self.engine.remove(identity)
        return self.stored(identity, 2 if provisional else 1)

    def put(self, archiving: Archiving) -> Stored:
        """Put an archive made by hand onto the volume, under the name that its header asks for."""
        identity = Identity(HEADER.namespace, HEADER.name, Uid(HEADER.uid))
        (self.quarantine / identity.namespace).mkdir(exist_ok=True)
        for path, name in zip((archiving.archive, archiving.manifest), ArchiveName.of(identity, 1).files, strict=True):
            shutil.copyfile(path, self.quarantine / identity.namespace / name)
        return self.stored(identity)

    def stored(self, identity: Identity, attempt: int = 1) -> Stored:
        (found,) = (one for one in self.store.archives() if (one.uid, one.attempt) == (identity.uid, attempt))
        return found

    def file(self, stored: Stored, suffix: str = ".tar.gz") -> Path:
        return self.quarantine / stored.namespace / (stored.stem + suffix)


@contextmanager
def opened_site(root: Path) -> Iterator[Site]:
    for name in ("storage", "quarantine"):
        (root / name).mkdir()
    with (
        Volume(root / "storage", Role.STORAGE, initialise=True) as storage,
        Volume(root / "quarantine", Role.QUARANTINE, initialise=True) as quarantine,
    ):
        storage.lock()
        yield Site(root, StorageEngine(storage, LocalVault(quarantine)), ArchiveStore(quarantine))


def flip(path: Path, where: Callable[[int], int] = lambda size: size // 2) -> None:
    """Let one bit of a file rot."""
    data = bytearray(path.read_bytes())
    data[where(len(data))] ^= 1
    path.write_bytes(data)
