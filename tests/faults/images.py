"""File systems in sparse files on loop devices: ext4 and XFS with the ioctl that cuts their power off, and btrfs.

Everything is mounted in the private mount namespace of `isolation`, on files in memory, with loop devices that free
themselves at unmount: whatever ends this process, nothing is left.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

KINDS: Final = ("ext4", "xfs")
"""Those that can lose power."""

BTRFS: Final = "btrfs"
"""Which has subvolumes, and no way of cutting its power off."""

_SHUTDOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, _IOR('X', 125, __u32), are one number."""

_NO_LOG_FLUSH: Final = (2).to_bytes(4, "little")
_SIZES: Final = {"ext4": 64 << 20, "xfs": 300 << 20, BTRFS: 256 << 20}
"""Bytes, sparse; 300 MiB is the least that mkfs.xfs makes."""

_MAKE: Final = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    BTRFS: ["mkfs.btrfs", "-q", "-f", "-K"],
}
_OPTIONS: Final = {"ext4": "loop,commit=300", "xfs": "loop", BTRFS: "loop"}
"""Nothing may become durable because time passes."""

_LAZY: Final = 2


def missing_tools() -> list[str]:
    """Programs that this needs and that are not installed."""
    wanted = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "btrfs", "mount", "umount"]
    return [tool for tool in wanted if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None]


def require_tools() -> None:
    """Find all of them.

    Raises:
        FileNotFoundError: with what has to be installed.
    """
    if missing := missing_tools():
        packages = "e2fsprogs, xfsprogs, btrfs-progs, mount"
        raise FileNotFoundError(f"not installed: {', '.join(missing)} (packages {packages})")


class Image:
    """One file system, mounted; a context manager."""

    def __init__(self, place: Path, kind: str) -> None:
        """Below `place`, which holds the image and the mount point and must be in memory or private."""
        self._file = place / f"{kind}.img"
        self._kind = kind
        self.root = place / "mounted"

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        with self._file.open("wb") as file:
            file.truncate(_SIZES[self._kind])
        subprocess.run([*_MAKE[self._kind], self._file], check=True, capture_output=True)
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.path.ismount(self.root):
            self._unmount(_LAZY)
        self._file.unlink()

    def sync(self) -> None:
        """Make everything so far durable."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), f"syncfs {self.root}")
        finally:
            os.close(fd)

    def cut(self) -> None:
        """Cut the power: from now on everything fails, and what is not on disk is lost."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def restore(self) -> None:
        """Power is back: mount again, which recovers the log. Nobody may have anything open there."""
        self._unmount(0)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(
            ["mount", "-t", self._kind, "-o", _OPTIONS[self._kind], self._file, self.root],
            check=True, capture_output=True,
        )  # fmt: skip

    def _unmount(self, flags: int) -> None:
        if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(self.root), flags) != 0:
            raise OSError(ctypes.get_errno(), f"umount {self.root}")
