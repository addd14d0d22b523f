"""Removing one condemned directory tree from the trash, and nothing else.

Decides neither what is condemned nor when (the journal does); it only makes sure that what goes is the inode
that was named, that no link or mount leads out of it, and that an obstacle is named and kept.
"""

import errno
import os
import stat
from contextlib import closing
from typing import Final

from metrics_storage.engine.fs.walk import Meter, Progress, Step, Visit, open_directory, printable, walk
from metrics_storage.errors import RemovalError

_NAMED: Final = 5
"""How many obstacles a message names."""


def remove_tree(parent_fd: int, name: bytes, *, inode: int, progress: Progress | None = None) -> None:
    """Remove the directory `name`, with everything in it, from the open trash directory.

    Entries that cannot be removed (immutable, busy, on another mount) stay, and the rest goes nevertheless;
    subvolumes of btrfs go like directories, read-only ones too.
    `progress` is told entries only; its bytes are always 0.

    Raises:
        FileNotFoundError: there is no such entry.
        RemovalError: it is not a directory of that inode on the trash's own device (then nothing was touched),
            or something is left; the message names the first few.
    """
    fd = _open_condemned(parent_fd, name, inode)
    obstacles = 0
    named: list[str] = []
    meter = Meter(progress)
    try:
        with closing(walk(fd, unlock=True)) as visits:
            for visit in visits:
                meter.add(entries=visit.step is not Step.LEAVE)
                code = _remove_visited(visit)
                # What is left below a directory is an obstacle already; the directory itself is not another.
                if code is None or (code == errno.ENOTEMPTY and obstacles):
                    continue
                obstacles += 1
                if len(named) < _NAMED:
                    named.append(f"{printable(visit.path)} ({os.strerror(code)})")
    finally:
        os.close(fd)
    if obstacles:
        raise RemovalError(
            f"condemned directory {printable(name)} still holds entries that cannot be removed ({obstacles}): "
            + ", ".join(named)
            + ". Take away on the node what resists, such as an immutable flag (chattr -i), a mount (umount) or a "
            "read-only subvolume (btrfs property set -ts PATH ro false); the removal is tried again"
        )
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except OSError as exc:
        raise RemovalError(f"condemned directory {printable(name)} cannot be removed: {exc.strerror}") from exc


def _open_condemned(parent_fd: int, name: bytes, inode: int) -> int:
    if b"/" in name or name in (b"", b".", b".."):
        raise RemovalError(f"condemned directory '{printable(name)}' is not the name of an entry of the trash")
    _require_condemned(os.lstat(name, dir_fd=parent_fd), parent_fd, name, inode)
    try:
        fd = open_directory(parent_fd, name, unlock=True)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise RemovalError(f"condemned directory {printable(name)} cannot be opened: {exc.strerror}") from exc
    try:
        # The name may have been given to something else meanwhile; what is open stays what it is.
        _require_condemned(os.fstat(fd), parent_fd, name, inode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_condemned(found: os.stat_result, parent_fd: int, name: bytes, inode: int) -> None:
    device = os.fstat(parent_fd).st_dev
    if not stat.S_ISDIR(found.st_mode) or (found.st_dev, found.st_ino) != (device, inode):
        raise RemovalError(
            f"condemned directory {printable(name)} is inode {found.st_ino} on device {found.st_dev} with mode "
            f"{stat.filemode(found.st_mode)}, expected directory {inode} on device {device}: nothing was removed"
        )


def _remove_visited(visit: Visit) -> int | None:
    """Remove one entry unless it is a directory being entered; None, or the errno of what prevents it."""
    if visit.step is Step.ENTER:
        return visit.problem
    if visit.name == b".":
        return None
    if visit.problem is not None:
        return None if visit.problem == errno.ENOENT else visit.problem
    try:
        if visit.step is Step.LEAVE:
            os.rmdir(visit.name, dir_fd=visit.parent_fd)
        else:
            os.unlink(visit.name, dir_fd=visit.parent_fd)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return exc.errno
    return None
