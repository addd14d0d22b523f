"""Real file systems in sparse files on loop devices, for what only one kind of file system can do.

Each is taken out of the tree of mounts as soon as it is mounted, and reached through an open descriptor: with the
process that has it, however that ends, go the mount, the loop device and the file.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_MAKE: Final = {
    "btrfs": ["mkfs.btrfs", "-q"],
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}
_SIZE: Final = 300 << 20
"""Bytes, sparse; the least that mkfs.xfs makes."""

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@contextlib.contextmanager
def mounted(kind: str) -> Iterator[Path]:
    """An empty file system, at a path that this process and its children may use; skips where it cannot be had."""
    tool = shutil.which(_MAKE[kind][0], path=_PATH)
    if os.geteuid() != 0 or tool is None:
        pytest.skip(f"mounting {kind} needs root and {_MAKE[kind][0]}")
    with tempfile.TemporaryDirectory(prefix=f"{kind}-") as place:
        image, point = Path(place, "image"), Path(place, "root")
        point.mkdir()
        with image.open("wb") as file:
            file.truncate(_SIZE)
        subprocess.run([tool, *_MAKE[kind][1:], image], check=True, capture_output=True)
        mounting = subprocess.run(["mount", "-t", kind, "-o", "loop", image, point], capture_output=True, check=False)
        if mounting.returncode:
            pytest.skip(f"{kind} cannot be mounted here: {mounting.stderr.decode().strip()}")
        fd = -1
        try:
            fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{fd}")
    finally:
        os.close(fd)
