"""What ext4 and XFS keep of a file beside its mode and can forbid its move: flags, and a project for quotas.

A directory may hand its project down to what is made in it (`chattr +P`). Then nothing of another project can be
moved there, and whoever owns a file may change its project at will. See ioctl_fs_fsgetxattr(2) and xfs_quota(8).
"""

import contextlib
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine.fs.syscalls import open_beneath

_GET: Final = 0x801C581F
_SET: Final = 0x401C5820
_FIELDS: Final = struct.Struct("=5I8x")
"""Of FS_IOC_FSGETXATTR: flags, extent size, extents, project, extent size of copies."""

_IMMUTABLE: Final = 0x8
_APPEND_ONLY: Final = 0x10
_INHERIT: Final = 0x200


def stop_handing_down(dir_fd: int) -> None:
    """Have a directory of ours take in files of every project; where that cannot be, moves into it may be refused."""
    with contextlib.suppress(OSError):
        flags, size, extents, project, copies = _read(dir_fd)
        if flags & _INHERIT:
            _write(dir_fd, flags & ~_INHERIT, size, extents, project, copies)


def take_over_project(name: str, dir_fd: int, to_dir_fd: int) -> None:
    """Give an entry the project that a directory hands down, so that it can be moved there.

    Raises:
        OSError: the file system has no projects, or this process may not change them.
    """
    project = _read(to_dir_fd)[3]
    with _opened(name, dir_fd) as fd:
        flags, size, extents, _, copies = _read(fd)
        _write(fd, flags, size, extents, project, copies)


def forbid_moving(name: str, dir_fd: int) -> bool:
    """Whether an entry is immutable or append-only (`chattr +i`, `+a`); False where the file system cannot say."""
    try:
        with _opened(name, dir_fd) as fd:
            return bool(_read(fd)[0] & (_IMMUTABLE | _APPEND_ONLY))
    except OSError:
        return False


@contextlib.contextmanager
def _opened(name: str, dir_fd: int) -> Iterator[int]:
    """Descriptor of a directory or regular file; anything else has no project of its own to change."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    if stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode):
        flags |= os.O_DIRECTORY
    fd = open_beneath(dir_fd, os.fsencode(name), flags)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(fd: int) -> tuple[int, ...]:
    return _FIELDS.unpack(fcntl.ioctl(fd, _GET, bytes(_FIELDS.size)))


def _write(fd: int, *fields: int) -> None:
    fcntl.ioctl(fd, _SET, _FIELDS.pack(*fields))
