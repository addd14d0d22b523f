"""Where hostile trees live: file systems in a mount namespace of this process alone.

Whatever is mounted, marked immutable or put on a loop device here is gone when the process is, however it ends:
images lie on a tmpfs that nobody else sees, and the namespace takes everything with it.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import struct
import subprocess
from pathlib import Path
from typing import Final

FILE_SYSTEMS: Final = ("ext4", "xfs", "tmpfs")

_CLONE_NEWNS: Final = 0x00020000
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1
_GET_FLAGS: Final = 0x80086601
_SET_FLAGS: Final = 0x40086602
IMMUTABLE: Final = 0x10
APPEND_ONLY: Final = 0x20

ROOT: Final = Path("/mnt")
"""Covered with a tmpfs inside the namespace only; a directory that every Linux has and nothing here needs."""

_MAKE: Final = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-N", "400000", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-K"),
}
_IMAGE_BYTES: Final = 3 << 30
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Begin a world of our own, which ends with this process and with the one that started it."""
    die_with_parent()
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    mount_tmpfs(ROOT, "mode=0755,size=90%")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.umask(0o022)


def die_with_parent() -> None:
    """Be killed when the parent is."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def make_file_system(kind: str, path: Path) -> Path:
    """Mount a new, empty file system at a new directory."""
    path.mkdir(parents=True)
    if kind == "tmpfs":
        mount_tmpfs(path, "mode=0755,size=50%,nr_inodes=3m")
        return path
    image = path.with_name(path.name + ".image")
    with open(image, "wb") as file:
        file.truncate(_IMAGE_BYTES)
    subprocess.run([*_MAKE[kind], image], check=True, capture_output=True)
    # The loop device frees itself when it is unmounted, and the image when the device lets go.
    subprocess.run(["mount", "-t", kind, "-o", "loop,nodiscard", image, path], check=True, capture_output=True)
    image.unlink()
    return path


def mount_tmpfs(path: Path | str, options: str = "size=16m") -> None:
    """Mount an empty tmpfs."""
    _check(_libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, options.encode()), f"mount tmpfs on {path}")


def bind(source: Path | str, target: Path | str) -> None:
    """Mount a directory or a file at a second place."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None), f"bind {source} to {target}")


def unmount(path: Path | str, *, lazily: bool = False) -> None:
    """Unmount what is mounted last at a path."""
    _check(_libc.umount2(os.fsencode(path), _MNT_DETACH if lazily else 0), f"unmount {path}")


def set_flag(fd: int, flag: int, on: bool) -> bool:
    """Set or clear an inode flag of an open file; False where the file system has none."""
    with contextlib.suppress(OSError):
        flags = struct.unpack("l", fcntl.ioctl(fd, _GET_FLAGS, bytes(8)))[0]
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("l", flags | flag if on else flags & ~flag))
        return True
    return False


def exchange(first_fd: int, first: bytes, second_fd: int, second: bytes) -> bool:
    """Swap two names atomically; False where one of them is not there."""
    return bool(_libc.renameat2(first_fd, first, second_fd, second, 2) == 0)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
