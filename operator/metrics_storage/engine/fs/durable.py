"""Files and renames that survive a power cut: nothing here returns before the disk has it."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine.fs import inode_flags
from metrics_storage.engine.fs.syscalls import open_beneath, rename_exchange, rename_noreplace

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""What a file system says that has no room left."""

_SPARE_SIZE: Final = 1 << 14
"""Bytes of a new spare file; the longest reasons make the longest journal entries."""

_SPARE_LEAST: Final = 1 << 12
"""Bytes of one that took part in an exchange: the block of an ordinary entry."""


@contextlib.contextmanager
def opened_directory(name: str, dir_fd: int) -> Iterator[int]:
    """Descriptor of the directory `name` below `dir_fd`, never through a link or into another mount."""
    fd = open_beneath(dir_fd, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(name: str, flags: int, dir_fd: int) -> Iterator[int]:
    """Descriptor of a file of ours below `dir_fd`; what is created belongs to the directory's owner alone."""
    fd = os.open(name, flags, 0o600, dir_fd=dir_fd)
    try:
        if flags & os.O_CREAT:
            give(fd, dir_fd)
        yield fd
    finally:
        os.close(fd)


def give(fd: int, like: int) -> None:
    """Give what root has made to the owner of `like`, so that root's work on a user's volume does not lock him out."""
    if os.geteuid() == 0:
        made, model = os.fstat(fd), os.fstat(like)
        if (made.st_uid, made.st_gid) != (model.st_uid, model.st_gid):
            os.fchown(fd, model.st_uid, model.st_gid)


def list_directory(fd: int) -> list[str]:
    """Names in an open directory as they are now: btrfs tells a descriptor what there was when it was last rewound."""
    os.lseek(fd, 0, os.SEEK_SET)
    return os.listdir(fd)


def make_directory(name: str, dir_fd: int, mode: int, *, like: int | None = None) -> None:
    """Make a directory of exactly that mode, or accept the one that is there, and make its entry durable.

    It is given to the owner of the directory `like`, a descriptor, unless that is None.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=dir_fd)
    with opened_directory(name, dir_fd) as fd:
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.fchmod(fd, mode)  # What the process's umask took away, now or before it was killed.
        if like is not None:
            give(fd, like)
    os.fsync(dir_fd)


def write_file(name: str, data: bytes, dir_fd: int) -> None:
    """Replace the file `name` as a whole: temporary file, fsync, rename, fsync of the directory.

    After an error the old file is still there. A failed fsync is never repeated on the same inode: the next
    call begins with a new one.
    """
    _discard_temporary(name, dir_fd)
    temporary = f".{name}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
    with open(fd, "wb") as file:
        give(fd, dir_fd)
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    os.fsync(dir_fd)


def make_spare(name: str, dir_fd: int) -> None:
    """Have a file that holds space of its own for `overwrite_spare`; none where there is no space."""
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            if _room(os.lstat(name, dir_fd=dir_fd)) >= _SPARE_LEAST:
                return
            os.unlink(name, dir_fd=dir_fd)
        with opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd) as fd:
            os.posix_fallocate(fd, 0, _SPARE_SIZE)


def overwrite_spare(spares_fd: int, name: str, data: bytes, dir_fd: int) -> bool:
    """Replace the file `name`, which exists, as a whole on a full file system; False where no spare can hold `data`.

    A spare file takes its place, and the old file is the spare then: nothing is freed that somebody could take.
    After an error the old file or the new one is there.
    """
    _discard_temporary(name, dir_fd)
    for spare in sorted(list_directory(spares_fd)):
        with opened(spare, os.O_WRONLY | os.O_NOFOLLOW, spares_fd) as fd:
            if _room(os.fstat(fd)) < len(data):
                continue
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
            os.fsync(fd)
        try:
            rename_exchange(spares_fd, os.fsencode(spare), dir_fd, os.fsencode(name))
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            os.rename(spare, name, src_dir_fd=spares_fd, dst_dir_fd=dir_fd)
        os.fsync(dir_fd)
        os.fsync(spares_fd)
        return True
    return False


def _discard_temporary(name: str, dir_fd: int) -> None:
    """Remove what an earlier attempt at `write_file` has left."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f".{name}.tmp", dir_fd=dir_fd)


def _room(status: os.stat_result) -> int:
    """Bytes that a file can hold without allocating any."""
    return status.st_blocks * 512


def read_file(name: str, dir_fd: int) -> bytes:
    """Content of a regular file of ours; a link in its place is an error."""
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=dir_fd), "rb", buffering=0) as file:
        return file.readall()


def move(name: str, dir_fd: int, to_name: str, to_dir_fd: int) -> None:
    """Rename without ever replacing anything, durable on both sides.

    The target's directory is flushed first: after a power cut the entry may stand on both sides of a
    journalled rename, but never on neither. What is moved takes over the project that the target hands down.
    """
    try:
        _rename(name, dir_fd, to_name, to_dir_fd)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        with contextlib.suppress(OSError):  # Then the file system says once more what it thinks of the move.
            inode_flags.take_over_project(name, dir_fd, to_dir_fd)
        _rename(name, dir_fd, to_name, to_dir_fd)
    os.fsync(to_dir_fd)
    if to_dir_fd != dir_fd:
        os.fsync(dir_fd)


def _rename(name: str, dir_fd: int, to_name: str, to_dir_fd: int) -> None:
    try:
        rename_noreplace(dir_fd, os.fsencode(name), to_dir_fd, os.fsencode(to_name))
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        _move_without_help(name, dir_fd, to_name, to_dir_fd)


def _move_without_help(name: str, dir_fd: int, to_name: str, to_dir_fd: int) -> None:
    """The same on a file system that cannot rename without replacing, as NFS.

    A file gets its second name first, which never replaces anything. A directory can by POSIX replace nothing but
    an empty directory, and whoever could put one there is kept out by the lock on the volume.
    """
    if stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode):
        if os.access(to_name, os.F_OK, dir_fd=to_dir_fd, follow_symlinks=False):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to_name)
        os.rename(name, to_name, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd)
    else:
        os.link(name, to_name, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd, follow_symlinks=False)
        os.unlink(name, dir_fd=dir_fd)


def inode_of(name: str, dir_fd: int) -> int | None:
    """Inode of the directory `name`, None where nothing of that name is.

    Raises:
        NotADirectoryError: something else stands there.
    """
    try:
        with opened_directory(name, dir_fd) as fd:
            return os.fstat(fd).st_ino
    except FileNotFoundError:
        return None
