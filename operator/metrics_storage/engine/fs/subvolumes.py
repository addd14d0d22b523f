"""Subvolumes of btrfs, which whoever owns a directory can make in it: another device number, and no other mount.

What lies in them belongs to the directory like everything else. Answers for every other file system too: nothing
there is a subvolume.
"""

import contextlib
import fcntl
import os
import stat
import struct
from typing import Final

_GET_INFO: Final = 0x81F8943C
"""BTRFS_IOC_GET_SUBVOL_INFO, Linux 4.18; needs no privilege."""

_INFO_SIZE: Final = 504
_UUID: Final = slice(296, 312)
_PARENT_UUID: Final = slice(312, 328)
"""Where struct btrfs_ioctl_get_subvol_info_args holds the subvolume's id, and the id of what it is a snapshot of."""

_STUB_INODE: Final = 2
_GET_FLAGS: Final = 0x80089419
_SET_FLAGS: Final = 0x4008941A
_FLAGS: Final = struct.Struct("=Q")
_READ_ONLY: Final = 1 << 1
"""BTRFS_IOC_SUBVOL_GETFLAGS and SETFLAGS; the second needs the subvolume's owner or CAP_FOWNER."""


def is_snapshot_of(fd: int, outer_fd: int) -> bool:
    """Whether one open directory is in a snapshot of the very subvolume that another one is in.

    Such a snapshot holds copies of everything around the other directory. Kernels before 6.7 let any user make one.
    """
    parent, outer = _info(fd)[_PARENT_UUID], _info(outer_fd)[_UUID]
    return any(parent) and parent == outer


def is_stub(parent_fd: int, found: os.stat_result) -> bool:
    """Whether a directory only marks where another subvolume was, in a snapshot of what was around it.

    It is empty, and stands nowhere on the disk: the kernel gives it new times whenever it is looked up.
    """
    return found.st_ino == _STUB_INODE and stat.S_ISDIR(found.st_mode) and os.fstat(parent_fd).st_dev != found.st_dev


def make_writable(fd: int) -> None:
    """Let entries of an open directory, the root of a subvolume, be removed; where that fails, removing says why."""
    with contextlib.suppress(OSError):
        (flags,) = _FLAGS.unpack(fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAGS.size)))
        if flags & _READ_ONLY:
            fcntl.ioctl(fd, _SET_FLAGS, _FLAGS.pack(flags & ~_READ_ONLY))
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(fd, mode | stat.S_IRWXU)


def _info(fd: int) -> bytes:
    """What btrfs says of the subvolume that an open directory is in; zeros where it is in none."""
    try:
        return fcntl.ioctl(fd, _GET_INFO, bytes(_INFO_SIZE))
    except OSError:
        return bytes(_INFO_SIZE)
