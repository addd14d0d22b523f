"""The demo's directory: everything that it makes on this machine is below it, so removing it ends the demo.

A marker says that the directory is the demo's; any other is refused. Not responsible for what is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.cluster import detached, kind
from tools.cluster.processes import Process
from tools.demo.errors import DemoError

__all__ = ["OPERATOR", "State", "default_directory"]

OPERATOR: Final = "operator"
"""Name of the operator's process, log and pid file."""

_MARKER: Final = "demo.json"


def default_directory() -> Path:
    """Beside that of detached clusters, below the user's state directory."""
    return detached.state_directory().parent / "demo"


@dataclass(frozen=True)
class State:
    """Paths below the demo's directory."""

    root: Path

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def opened(self) -> Path:
        """Where an archive is extracted to be looked at."""
        return self.root / "opened"

    @property
    def log(self) -> Path:
        return self.root / f"{OPERATOR}.log"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time; the lock is on the parent directory, so that no file of it stays.

        Raises:
            DemoError: another one is at work.
        """
        parent = self.root.parent
        parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(f"another demo is at work in {parent} right now: wait until it ends") from None
            yield
        finally:
            os.close(descriptor)

    def exists(self) -> bool:
        """Whether there is anything of a demo, complete or not.

        Raises:
            DemoError: the directory is not the demo's.
        """
        if not self.root.exists():
            return False
        if any(self.root.iterdir()) and not (self.root / _MARKER).exists():
            raise DemoError(f"{self.root} is not empty and not the demo's: choose another directory by --state")
        return True

    def create(self, provider: str) -> None:
        """Make the directory, its marker first, so that whatever happens next it is known as the demo's."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.root / _MARKER).write_text(json.dumps({"provider": provider}))
        for directory in (self.storage, self.quarantine, self.opened):
            directory.mkdir(mode=0o755)

    def remove(self) -> list[str]:
        """End and remove everything, whatever state it is in; says what was there."""
        done = []
        operator = Process.find(OPERATOR, self.root)
        if operator is not None and operator.alive():
            operator.stop(timeout=10)
            done.append("ended the operator")
        if self._provider() == "kind":
            done.append(f"kind: {kind.down()}")
        if self.cluster.exists():
            done.append(f"local cluster: {detached.down(self.cluster)}")
        # The marker last: without it nobody would dare to remove the rest.
        for entry in sorted(self.root.iterdir(), key=lambda path: path.name == _MARKER):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                os.unlink(entry)
        self.root.rmdir()
        done.append(f"removed {self.root}")
        return done

    def _provider(self) -> str:
        try:
            return str(json.loads((self.root / _MARKER).read_text())["provider"])
        except (OSError, ValueError, KeyError):
            return "local"
