"""Real file systems in sparse files on loop devices, for what only one kind of file system can do.

However the process that has one ends, mount, loop device and file go with it: a child that only waits for that end
takes them away.
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


_TAKE_AWAY: Final = """
read -r _
umount --lazy "$1/root"
rm "$1/image" && rmdir "$1/root" "$1"
"""
"""Waits until whoever started it closes its standard input, or dies."""


@contextlib.contextmanager
def mounted(kind: str) -> Iterator[Path]:
    """An empty file system, mounted where every user may pass; skips where it cannot be had."""
    tool = shutil.which(_MAKE[kind][0], path=_PATH)
    if os.geteuid() != 0 or tool is None:
        pytest.skip(f"mounting {kind} needs root and {_MAKE[kind][0]}")
    place = Path(tempfile.mkdtemp(prefix=f"{kind}-"))
    place.chmod(0o755)
    image, point = place / "image", place / "root"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE)
    # In a session of its own: it outlives whatever ends the tests.
    end = subprocess.Popen(
        ["sh", "-c", _TAKE_AWAY, "sh", place], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        subprocess.run([tool, *_MAKE[kind][1:], image], check=True, capture_output=True)
        mounting = subprocess.run(["mount", "-t", kind, "-o", "loop", image, point], capture_output=True, check=False)
        if mounting.returncode:
            pytest.skip(f"{kind} cannot be mounted here: {mounting.stderr.decode().strip()}")
        yield point
    finally:
        end.communicate(timeout=30)
