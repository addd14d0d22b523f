"""The control groups of a node: one directory in every hierarchy, with everything of the node below it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.errors import ClusterError

__all__ = ["ControlGroup", "sweep"]

_ROOT = Path("/sys/fs/cgroup")
_TIMEOUT = 10.0


@dataclass(frozen=True)
class ControlGroup:
    """The control group of a node of the cluster whose state directory is `state`."""

    state: Path
    node: str

    @property
    def path(self) -> str:
        """Its path within every hierarchy."""
        return f"/{_prefix(self.state)}{self.node}"

    def make(self) -> None:
        """Make it in every hierarchy, where a kubelet expects it."""
        for hierarchy in _hierarchies():
            (hierarchy / self.path[1:]).mkdir(exist_ok=True)
            _inherit_cpus(hierarchy, hierarchy / self.path[1:])

    def remove(self) -> None:
        """Remove it with everything below it, of which every process has ended or is just ending."""
        end = time.monotonic() + _TIMEOUT
        for hierarchy in _hierarchies():
            while not _removed(hierarchy / self.path[1:]):
                if time.monotonic() > end:
                    raise ClusterError(f"the control group {hierarchy}{self.path} still has processes")
                time.sleep(0.02)


def sweep(state: Path) -> None:
    """Remove all groups of a cluster that has ended or was killed."""
    for path in [found for hierarchy in _hierarchies() for found in hierarchy.glob(f"{_prefix(state)}*")]:
        ControlGroup(state, path.name.removeprefix(_prefix(state))).remove()


def _prefix(state: Path) -> str:
    return f"metrics-storage-test-{hashlib.sha256(bytes(state)).hexdigest()[:12]}-"


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _inherit_cpus(hierarchy: Path, path: Path) -> None:
    """A new group of the first version's cpuset is empty, and nobody could enter it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists() and not (path / name).read_text().strip():
            (path / name).write_text((hierarchy / name).read_text())


def _removed(path: Path) -> bool:
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)
        except OSError as exc:
            if exc.errno != errno.EBUSY:
                raise
            return False
    return True
