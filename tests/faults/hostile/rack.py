"""Two volumes that can be unmounted, and the troubles that can be made with them.

The mount points lie on a file system of their own, the parent, which must stay empty; the volumes themselves stay
mounted at a second place, so that the right one can be mounted again.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec
from tests.faults.evidence import facts
from tests.faults.hostile import stage
from tests.faults.hostile.field import NAME, NAMESPACE, REQUESTED

ROLES: Final = (Role.STORAGE, Role.QUARANTINE)
PRIVATE: Final = ".metrics-storage"
_MARKER: Final = "volume.json"
_FILE: Final = 3 << 20
"""Bytes of content; random, so that the archive needs as many."""


class Rack:
    """Two volumes at places where they can be unmounted, and a directory on them."""

    def __init__(self, root: Path, quarantine_options: str = "size=64m") -> None:
        self.root = root
        self.identity = Identity(NAMESPACE, NAME, Uid.new())
        self._stack = ExitStack()
        for role in ROLES:
            for kind in ("kept", "others", "place"):
                self.path(role, kind).mkdir(parents=True)
            for kind in ("kept", "others"):
                stage.mount_tmpfs(self.path(role, kind), quarantine_options if role is Role.QUARANTINE else "size=64m")
                Volume(self.path(role, kind), role, initialise=True).close()
            self.mount(role)
        self.engine = self.open()

    def path(self, role: Role, kind: str = "place") -> Path:
        """Where the engine expects a volume (place), where it is always (kept), or another of its kind (others)."""
        return self.root / kind / role.value

    def mount(self, role: Role, kind: str = "kept") -> None:
        """Mount a volume where the engine expects it."""
        stage.bind(self.path(role, kind), self.path(role))

    def unmount(self, role: Role) -> None:
        """Unmount what the engine works on."""
        stage.unmount(self.path(role), lazily=True)

    def open(self) -> StorageEngine:
        """Begin to work, as after a restart."""
        self._stack.close()
        with ExitStack() as opening:
            volumes = [opening.enter_context(Volume(self.path(role), role, initialise=False)) for role in ROLES]
            volumes[0].lock()
            self._stack = opening.pop_all()
            return StorageEngine(volumes[0], LocalVault(volumes[1]))

    def step(self, name: str) -> object:
        """Take a step of the life."""
        engine, identity = self.engine, self.identity
        steps: dict[str, Callable[[], object]] = {
            "ensure": self._ensure,
            "measure": lambda: engine.measure(identity),
            "latch": lambda: engine.latch(identity, "volumes", REQUESTED),
            "snapshot": lambda: engine.snapshot(identity),
            "archive": lambda: engine.archive(identity),
            "remove": lambda: engine.remove(identity),
            "forget": lambda: engine.forget(identity.uid),
        }
        return steps[name]()

    def journal(self) -> bytes:
        """The journal entry, wherever the storage volume is mounted."""
        path = self.path(Role.STORAGE, "kept") / PRIVATE / "journal" / f"{self.identity.uid}.json"
        return path.read_bytes() if path.exists() else b""

    def source(self) -> facts.Facts:
        """What is in the directory, wherever it stands; nothing where it is nowhere."""
        storage, uid = self.path(Role.STORAGE, "kept"), self.identity.uid
        live = storage / NAMESPACE / self.identity.directory_name
        for place in (live, storage / PRIVATE / "frozen" / uid, storage / PRIVATE / "trash" / uid):
            if place.is_dir():
                fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    return facts.take(fd)
                finally:
                    os.close(fd)
        return {}

    def others(self) -> list[str]:
        """What is on the volumes that were never ours."""
        return sorted(str(path) for role in ROLES for path in self.path(role, "others").rglob("*"))

    def archives(self) -> list[Path]:
        """Committed archives."""
        return sorted(self.path(Role.QUARANTINE, "kept").glob(f"{NAMESPACE}/*.tar.gz"))

    def close(self) -> None:
        """Unmount everything."""
        self._stack.close()
        for role in ROLES:
            for kind in ("place", "kept", "others"):
                with suppress(OSError):
                    stage.unmount(self.path(role, kind), lazily=True)

    def _ensure(self) -> None:
        self.engine.ensure(self.identity, StorageSpec(owner="1000:1000"))
        if not self.source().keys() - {facts.ROOT_KEY}:
            live = self.path(Role.STORAGE, "kept") / NAMESPACE / self.identity.directory_name
            (live / "metrics.bin").write_bytes(os.urandom(_FILE))


@contextmanager
def _unmounted(rack: Rack, role: Role) -> Iterator[None]:
    rack.unmount(role)
    try:
        yield
        if found := os.listdir(rack.path(role)):
            raise AssertionError(f"written to the parent file system: {found}")
    finally:
        rack.mount(role)


@contextmanager
def _swapped(rack: Rack, role: Role) -> Iterator[None]:
    with _unmounted(rack, role):
        rack.mount(role, "others")
        try:
            yield
        finally:
            rack.unmount(role)


@contextmanager
def _covered(rack: Rack, role: Role) -> Iterator[None]:
    stage.mount_tmpfs(rack.path(role))
    try:
        yield
        if found := os.listdir(rack.path(role)):
            raise AssertionError(f"written to what covers the volume: {found}")
    finally:
        stage.unmount(rack.path(role))


@contextmanager
def _unmarked(rack: Rack, role: Role) -> Iterator[None]:
    marker = rack.path(role, "kept") / PRIVATE / _MARKER
    marker.rename(marker.with_name("aside"))
    try:
        yield
    finally:
        marker.with_name("aside").rename(marker)


@contextmanager
def _marked(rack: Rack, role: Role, changes: dict[str, object]) -> Iterator[None]:
    marker = rack.path(role, "kept") / PRIVATE / _MARKER
    was = marker.read_bytes()
    marker.write_text(json.dumps(json.loads(was) | changes))
    try:
        yield
    finally:
        marker.write_bytes(was)


Trouble = Callable[[Rack, Role], AbstractContextManager[None]]
TROUBLES: Final[dict[str, Trouble]] = {
    "unmounted": _unmounted,
    "swapped for another volume": _swapped,
    "covered by an empty file system": _covered,
    "without marker": _unmarked,
    "with another's marker": lambda rack, role: _marked(rack, role, {"id": str(uuid.uuid4())}),
    "with a marker of another role": lambda rack, role: _marked(rack, role, {"role": "elsewhere"}),
    "with a marker of another format": lambda rack, role: _marked(rack, role, {"format": 2}),
}
