"""What a tree holds, told independently of the engine: for trees of any depth, with holes and every attribute.

The plain way with one descriptor a level, which `stage` allows for. Entries are known by a digest of the
names on the way to them, because whole paths of deep trees would need hundreds of megabytes.
"""

import hashlib
import os
import stat
from dataclasses import dataclass, field, fields
from typing import Final

from tests.faults.evidence.snapshot import TYPES

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME
_PIECE: Final = 1 << 16
ROOT_KEY: Final = b""


@dataclass(slots=True)
class Fact:
    """One entry. `content` is a digest that does not depend on how holes are laid out."""

    name: bytes
    parent: bytes
    """Key of its directory."""
    type: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    nlink: int
    inode: int
    device: tuple[int, int] | None = None
    target: bytes | None = None
    content: str | None = None
    sha256: str | None = None
    """Of the whole content, where that is short enough to be read as one."""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


Facts = dict[bytes, Fact]
"""Key (see `child_key`) to entry, directories before their content."""


def child_key(parent: bytes, name: bytes) -> bytes:
    """Key of an entry, from its directory's."""
    return hashlib.blake2b(name, key=parent, digest_size=16).digest()


def take(root_fd: int) -> Facts:
    """Everything below an open directory, itself under `ROOT_KEY`."""
    found: Facts = {ROOT_KEY: _fact(root_fd, b".", ROOT_KEY)}
    stack = [(os.dup(root_fd), ROOT_KEY, _names(root_fd))]
    try:
        while stack:
            fd, key, names = stack[-1]
            if not names:
                os.close(fd)
                stack.pop()
                continue
            name = names.pop()
            fact = _fact(fd, name, key)
            inner_key = child_key(key, name)
            found[inner_key] = fact
            if fact.type == "directory":
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                stack.append((inner, inner_key, _names(inner)))
    finally:
        for fd, _, _ in stack:
            os.close(fd)
    return found


def differences(expected: Facts, found: Facts, *, ignoring: frozenset[str] = frozenset()) -> list[str]:
    """What is missing, additional or different; `ignoring` names fields of `Fact`."""
    problems = [f"{expected[key].name!r} is missing" for key in expected.keys() - found.keys()]
    problems += [f"{found[key].name!r} is additional" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        problems += differing(expected[key], found[key], ignoring)
    return problems


def differing(expected: Fact, found: Fact, ignoring: frozenset[str] = frozenset()) -> list[str]:
    """In which fields two entries differ."""
    names = [item.name for item in fields(Fact) if item.name not in ignoring]
    return [
        f"{expected.name!r} has {name} {getattr(found, name)!r:.300}, not {getattr(expected, name)!r:.300}"
        for name in names
        if getattr(expected, name) != getattr(found, name)
    ]


def digest(fd: int, size: int) -> str:
    """Digest of the content of an open file, in which zeros count the same whether they are on disk or not."""
    result = hashlib.blake2b(b"%d" % size, digest_size=16)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError:
            break
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        offset = start // _PIECE * _PIECE
        while offset < end:
            piece = os.pread(fd, _PIECE, offset).rstrip(b"\0")
            if piece:
                result.update(b"%d:%d:" % (offset, len(piece)) + piece)
            offset += _PIECE
    return result.hexdigest()


def _fact(fd: int, name: bytes, parent: bytes) -> Fact:
    found = os.lstat(name, dir_fd=fd)
    kind = TYPES[stat.S_IFMT(found.st_mode)]
    fact = Fact(
        name=name,
        parent=parent,
        type=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        size=found.st_size if kind in ("file", "symlink") else 0,
        nlink=found.st_nlink,
        inode=found.st_ino,
    )
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
    try:
        path = f"/proc/self/fd/{handle}"
        fact.xattrs = {os.fsencode(attribute): os.getxattr(path, attribute) for attribute in os.listxattr(path)}
        if kind in ("block", "character"):
            fact.device = os.major(found.st_rdev), os.minor(found.st_rdev)
        elif kind == "symlink":
            fact.target = os.readlink(b"", dir_fd=handle)
        elif kind == "file":
            _read(fact, path)
    finally:
        os.close(handle)
    return fact


def _read(fact: Fact, path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        fact.content = digest(fd, fact.size)
        if fact.size <= 1 << 21:
            fact.sha256 = hashlib.sha256(os.pread(fd, fact.size, 0)).hexdigest()
    finally:
        os.close(fd)


def _names(fd: int) -> list[bytes]:
    with os.scandir(f"/proc/self/fd/{fd}") as entries:
        return sorted((os.fsencode(entry.name) for entry in entries), reverse=True)
