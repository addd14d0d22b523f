"""What the file system of a volume must be able to do, tried out in an empty directory of ours.

Everything here is relied upon elsewhere without being looked at again. What a file system cannot do is told all at
once, with what would follow from it.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from metrics_storage.engine.fs import durable

_SCRATCH: Final = "probe"
_MODES: Final = (0o700, 0o2770)
_NOBODY: Final = 65534
_NAME_MAX: Final = 255


class _UnableError(Exception):
    """The file system did something else than it was asked for."""


def missing_abilities(dir_fd: int) -> list[str]:
    """What the file system of a directory of ours cannot do, each with what follows.

    Nothing is known to be missing where there is no room to try it out.

    Raises:
        OSError: nothing can be made there.
    """
    _discard(dir_fd)  # What an interrupted attempt has left.
    try:
        os.mkdir(_SCRATCH, 0o700, dir_fd=dir_fd)
        with durable.opened_directory(_SCRATCH, dir_fd) as fd:
            return [said for ability in _ABILITIES if (said := _missing(ability, fd))]
    except OSError as exc:
        if exc.errno in durable.FULL:
            return []
        raise
    finally:
        _discard(dir_fd)


def _missing(ability: "_Ability", scratch_fd: int) -> str | None:
    name = ability.attempt.__name__
    try:
        os.mkdir(name, 0o700, dir_fd=scratch_fd)
        with durable.opened_directory(name, scratch_fd) as fd:
            ability.attempt(fd)
    except OSError as exc:
        if exc.errno in durable.FULL:
            raise
        return f"{ability.name} ({exc.strerror}), so that {ability.otherwise}"
    except _UnableError as exc:
        return f"{ability.name} ({exc}), so that {ability.otherwise}"
    return None


def _discard(dir_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(_SCRATCH, dir_fd=dir_fd)


def _modes(fd: int) -> None:
    _make(b"made", fd)
    with durable.opened("made", os.O_RDONLY, fd) as file:
        if stat.S_IMODE(os.fstat(file).st_mode) != 0o600:
            raise _UnableError(f"a file made for its owner alone has {stat.filemode(os.fstat(file).st_mode)}")
    for mode in _MODES:
        os.fchmod(fd, mode)
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            raise _UnableError(f"{mode:04o} becomes {stat.S_IMODE(os.fstat(fd).st_mode):04o}")


def _owners(fd: int) -> None:
    try:
        os.fchown(fd, _NOBODY, _NOBODY)
    except PermissionError:
        return  # An ordinary user, or root who is none on a server: told of each storage that needs another owner.
    if (os.fstat(fd).st_uid, os.fstat(fd).st_gid) != (_NOBODY, _NOBODY):
        raise _UnableError(f"{_NOBODY} becomes {os.fstat(fd).st_uid}")


def _inodes(fd: int) -> None:
    os.mkdir("old", dir_fd=fd)
    before = durable.inode_of("old", fd)
    os.rename("old", "new", src_dir_fd=fd, dst_dir_fd=fd)
    after = durable.inode_of("new", fd)
    if before != after:
        raise _UnableError(f"{before} becomes {after} by a rename")


def _moves(fd: int) -> None:
    for kind in ("file", "directory"):
        for name in (f"{kind}-1", f"{kind}-2"):
            if kind == "file":
                _make(name.encode(), fd)
            else:
                os.mkdir(name, dir_fd=fd)
        try:
            durable.move(f"{kind}-1", fd, f"{kind}-2", fd)
        except FileExistsError:
            durable.move(f"{kind}-1", fd, f"{kind}-3", fd)
        else:
            raise _UnableError(f"a {kind} was replaced")


def _replacing(fd: int) -> None:
    for content in (b"old", b"new"):
        durable.write_file("file", content, fd)
    if durable.read_file("file", fd) != b"new":
        raise _UnableError("a rename over a file left the old one")


def _locks(fd: int) -> None:
    _make(b"lock", fd)
    with durable.opened("lock", os.O_RDWR, fd) as first, durable.opened("lock", os.O_RDWR, fd) as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        else:
            raise _UnableError("two had the same one")


def _names(fd: int) -> None:
    name = b"n" * _NAME_MAX
    _make(name, fd)
    if name not in map(os.fsencode, durable.list_directory(fd)):
        raise _UnableError("it becomes another")


def _make(name: bytes, fd: int) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd))


@dataclass(frozen=True, slots=True)
class _Ability:
    name: str
    otherwise: str
    attempt: Callable[[int], None]


_ABILITIES: Final = (
    _Ability("modes that take effect", "others could read evidence", _modes),
    _Ability("owners that take effect", "directories would not belong to their runners", _owners),
    _Ability("inode numbers that stay", "a directory could not be told from another", _inodes),
    _Ability("renaming without replacing, or hard links", "no archive could be committed", _moves),
    _Ability("replacing a file by a rename", "the journal could not be written", _replacing),
    _Ability("locks", "two operators could work on it at once", _locks),
    _Ability(f"names of {_NAME_MAX} bytes", "storages and archives of long names could not be made", _names),
)
