"""Where hostile directories are tried: an engine on two volumes, and what can be made to happen while it works."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from metrics_storage.engine.archives import archiver
from metrics_storage.engine.archives.format import compare_source, verify_archive
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from tests.faults.hostile import stage
from tests.faults.hostile.outside import Outside

NAMESPACE: Final = "runners"
NAME: Final = "runner-0"
REQUESTED: Final = "2026-01-01T00:00:00Z"
_SHADOW: Final = Path("/etc/shadow")
MUCH: Final = 1 << 24
"""Bytes of content after which the engine says how far it is."""


class Meanwhile:
    """Something that is done to a directory in the middle of the n-th time that much of it is read."""

    def __init__(self, act: Callable[[int], object], *, reading: int = 1) -> None:
        """`act` gets a descriptor of the directory; `reading` is 1 for the archive, 2 for the comparison with it."""
        self._act = act
        self._left = reading
        self.done = False

    def told(self, size: int, root_fd: int) -> None:
        """Take the word of the engine on how many bytes it has read."""
        if size >= MUCH and not self.done:
            self._left -= 1
            if self._left == 0:
                self.done = True
                self._act(root_fd)

    @contextmanager
    def arranged(self) -> Iterator[None]:
        """Count only what reads the directory, not what reads the archive back."""

        def verify(*args: Any, **options: Any) -> object:
            return verify_archive(*args, **{**options, "progress": None})

        with patch.object(archiver, "verify_archive", verify):
            yield


class Field:
    """Two volumes with an engine, and what lies outside of them, on one file system."""

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        self.root = stage.make_file_system(kind, stage.ROOT / f"{kind}-{number}")
        for name in ("storage", "quarantine", "aside"):
            (self.root / name).mkdir()
        self.outside = Outside(self.root / "outside", uuid.uuid4().hex)
        self._stack = ExitStack()
        opened = self._stack.enter_context
        storage = opened(Volume(self.root / "storage", Role.STORAGE, initialise=True))
        quarantine = opened(Volume(self.root / "quarantine", Role.QUARANTINE, initialise=True))
        storage.lock()
        self.engine = StorageEngine(storage, LocalVault(quarantine, Origin("hostile", "here")))
        secrets = (line.encode() for line in _SHADOW.read_text().splitlines()[:1]) if _SHADOW.exists() else ()
        self.forbidden = (self.outside.token, *secrets)

    def close(self) -> None:
        """Let go of the volumes."""
        self._stack.close()
        self.outside.close()


@contextmanager
def noting_comparisons(times: list[float]) -> Iterator[None]:
    """Note when the source is compared with its archive for the last time: what is written later nobody notices."""

    def compare(*args: Any, **options: Any) -> tuple[str, ...]:
        times.append(time.monotonic())
        return compare_source(*args, **options)

    with patch.object(archiver, "compare_source", compare):
        yield
