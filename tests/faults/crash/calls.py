"""System calls that can change a disk, and what one of them is about to do, in resolved paths.

Knows numbers and arguments; what may be done where is judged in `footprints` and `ledger`.
"""

import os
import platform
import struct
from dataclasses import dataclass, field
from typing import Final

from tests.faults.crash import seccomp

_CURRENT: Final = -100
_NOREPLACE: Final = 1
_REMOVE_DIRECTORY: Final = 0x200

_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "open": (2, None), "creat": (85, None), "openat": (257, 56), "openat2": (437, 437),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None),
    "unlink": (87, None), "unlinkat": (263, 35),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "mknod": (133, None), "mknodat": (259, 33),
    "fsync": (74, 82), "fdatasync": (75, 83), "syncfs": (306, 267),
    "write": (1, 64), "pwrite64": (18, 68), "writev": (20, 66), "pwritev": (296, 70), "pwritev2": (328, 287),
    "copy_file_range": (326, 285), "sendfile": (40, 71), "splice": (275, 76), "fallocate": (285, 47),
    "truncate": (76, 45), "ftruncate": (77, 46),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
_READING: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63), "pread64": (17, 67), "getdents64": (217, 61), "newfstatat": (262, 79), "fstat": (5, 80),
    "statx": (332, 291), "faccessat": (269, 48), "faccessat2": (439, 439), "lseek": (8, 62),
}  # fmt: skip
"""Numbers on x86_64 and aarch64."""

_OPENING: Final = {"open": (None, 0, 1), "openat": (0, 1, 2), "openat2": (0, 1, 2), "creat": (None, 0, None)}
"""Arguments: directory, path, flags."""

_AT: Final = {
    "mkdirat": (0, 1), "unlinkat": (0, 1), "mknodat": (0, 1), "symlinkat": (1, 2), "fchmodat": (0, 1),
    "fchmodat2": (0, 1), "fchownat": (0, 1), "utimensat": (0, 1), "newfstatat": (0, 1), "statx": (0, 1),
    "faccessat": (0, 1), "faccessat2": (0, 1),
}  # fmt: skip
_PAIRS: Final = {"rename": (None, 0, None, 1), "link": (None, 0, None, 1)} | dict.fromkeys(
    ("renameat", "renameat2", "linkat"), (0, 1, 2, 3)
)
_PATHS: Final = {"symlink": 1} | dict.fromkeys(
    ("mkdir", "rmdir", "unlink", "mknod", "truncate", "chmod", "chown", "lchown", "setxattr", "lsetxattr",
     "removexattr", "lremovexattr"), 0
)  # fmt: skip
_DESCRIPTORS: Final = {"copy_file_range": 2, "splice": 2} | dict.fromkeys(
    ("fsync", "fdatasync", "syncfs", "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "fallocate",
     "ftruncate", "fchmod", "fchown", "fsetxattr", "fremovexattr", "read", "pread64", "getdents64", "fstat", "lseek"), 0
)  # fmt: skip

_COLUMN: Final = 0 if platform.machine() == "x86_64" else 1
NAMES: Final = {
    numbers[_COLUMN]: name for name, numbers in (_NUMBERS | _READING).items() if numbers[_COLUMN] is not None
}
FLUSHES: Final = frozenset({"fsync", "fdatasync", "syncfs"})
RENAMES: Final = frozenset({"rename", "renameat", "renameat2"})
WRITES: Final = frozenset(
    {"write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice"}
)
REMOVALS: Final = frozenset({"unlink", "unlinkat", "rmdir"})
OPENS: Final = frozenset(_OPENING)
READS: Final = frozenset(_READING)


def numbers(*, reading: bool) -> list[int]:
    """Numbers of the calls to be asked about, those that only read included or not."""
    chosen = _NUMBERS | _READING if reading else _NUMBERS
    return [number for columns in chosen.values() if (number := columns[_COLUMN]) is not None]


Inode = tuple[int, int]


@dataclass(slots=True)
class Call:
    """What a waiting thread is about to do.

    `paths` are absolute and resolved but for the last component (of a rename: from and to). `inode` is device and
    number of what the last path names or the descriptor has open, before the call; `source` that of a rename's
    first path, `parents` those of the directories that hold the paths.
    """

    name: str
    paths: tuple[str, ...]
    args: tuple[int, ...]
    flags: int = 0
    inode: Inode | None = None
    source: Inode | None = None
    parents: tuple[Inode | None, ...] = ()
    is_directory: bool = False
    done: bool = True
    """Whether the call was let through."""
    entries: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path that is acted on; of a rename, the new one."""
        return self.paths[-1]

    @property
    def creates(self) -> bool:
        """Whether this is an opening that makes its file."""
        return self.name in OPENS and bool(self.flags & os.O_CREAT) and self.inode is None

    @property
    def writable(self) -> bool:
        """Whether this is an opening that allows writing."""
        return self.name in OPENS and bool(self.flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC))

    @property
    def replaces(self) -> bool:
        """Whether this is a rename that may take the place of something."""
        return self.name in RENAMES and not self.flags & _NOREPLACE

    @property
    def changes(self) -> bool:
        """Whether it may change disk at all."""
        if self.name in OPENS:
            return bool(self.flags & (os.O_CREAT | os.O_TRUNC))
        return self.name not in READS

    @property
    def effective(self) -> bool:
        """Whether it can succeed: what is to be removed is there, what is to be made is not."""
        if self.name in REMOVALS or self.name in ("chmod", "fchmodat"):
            return self.inode is not None
        if self.name in RENAMES:
            return self.source is not None and (self.replaces or self.inode is None)
        return not (self.name.startswith("mkdir") and self.inode is not None)

    def __str__(self) -> str:
        return f"{self.name}({' -> '.join(self.paths)})"


def look(notification: seccomp.Notification) -> Call:
    """Resolve what a waiting call is about to do."""
    pid, args, name = notification.pid, notification.args, NAMES[notification.number]
    flags = 0
    if name in _OPENING:
        directory, path, where = _OPENING[name]
        places = [_resolve(pid, args, directory, path)]
        flags = _open_flags(pid, name, args, where)
    elif name in _PAIRS:
        first, first_path, second, second_path = _PAIRS[name]
        places = [_resolve(pid, args, first, first_path), _resolve(pid, args, second, second_path)]
        flags = args[4] if name == "renameat2" else 0
    elif name in _DESCRIPTORS:
        return _on_descriptor(pid, name, args)
    elif name in _AT:
        directory, path = _AT[name]
        places = [_resolve(pid, args, directory, path)]
        flags = args[2] if name == "unlinkat" else 0
    else:
        places = [_resolve(pid, args, None, _PATHS[name])]
    found = [_lstat(place) for place in places]
    return Call(
        name=name,
        paths=tuple(places),
        args=args,
        flags=flags,
        inode=_inode(found[-1]),
        source=_inode(found[0]),
        parents=tuple(_inode(_lstat(os.path.dirname(place))) for place in places),
        is_directory=name.startswith("mkdir") or name == "rmdir" or (name == "unlinkat" and flags == _REMOVE_DIRECTORY),
    )


def _on_descriptor(pid: int, name: str, args: tuple[int, ...]) -> Call:
    link = f"/proc/{pid}/fd/{_signed(args[_DESCRIPTORS[name]])}"
    try:
        path, found = os.readlink(link), os.stat(link)
    except OSError:
        return Call(name, ("",), args)
    return Call(name, (path,), args, inode=_inode(found), is_directory=os.path.isdir(link))


def _resolve(pid: int, args: tuple[int, ...], directory: int | None, path: int) -> str:
    name = os.fsdecode(seccomp.text(pid, args[path])) if args[path] else ""
    own = f"/proc/{pid}/fd/"
    if name.startswith("/proc/self/fd/"):
        return _readlink(own + name.removeprefix("/proc/self/fd/"))
    if name.startswith("/"):
        return name
    fd = _CURRENT if directory is None else _signed(args[directory])
    base = _readlink(f"/proc/{pid}/cwd" if fd == _CURRENT else f"{own}{fd}")
    return os.path.normpath(os.path.join(base, name))


def _open_flags(pid: int, name: str, args: tuple[int, ...], where: int | None) -> int:
    if where is None:
        return os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    if name == "openat2":
        flags: int = struct.unpack("=Q", seccomp.memory(pid, args[where], 8))[0]
        return flags
    return args[where]


def _readlink(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _inode(found: os.stat_result | None) -> Inode | None:
    return None if found is None else (found.st_dev, found.st_ino)


def _signed(value: int) -> int:
    """A 32-bit argument as the number that it is."""
    return struct.unpack("=i", struct.pack("=I", value & 0xFFFFFFFF))[0]  # type: ignore[no-any-return]
