"""What a directory holds, as a value: names, types, modes, owners, times, inodes and content.

Follows no link, opens nothing but regular files and directories, and uses nothing of the engine.
"""

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

TYPES: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "character",
}
_MARK_OF_A_SUBVOLUME = 2
"""Its inode number; other directories have it only where a file system begins."""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry; `content` is the SHA-256 of a file or what a symbolic link says."""

    type: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    nlink: int
    inode: int
    content: str


Snapshot = dict[str, Item]
"""Path relative to the directory (`.` for itself, bytes that are not UTF-8 as surrogates) to entry."""


def take(root: Path | str) -> Snapshot:
    """A directory with everything below it, or a single file; nothing where it is missing."""
    found: Snapshot = {}
    pending = ["."]
    while pending:
        relative = pending.pop()
        path = os.path.join(root, relative) if relative != "." else str(root)
        try:
            item = _item(path)
        except FileNotFoundError:
            continue
        found[relative] = item
        if item.type == "directory":
            pending += [os.path.join(relative, name) if relative != "." else name for name in os.listdir(path)]
    return found


def differences(expected: Snapshot, found: Snapshot, *, ignoring: tuple[str, ...] = ()) -> list[str]:
    """What is missing, additional or different, in words; `ignoring` names fields of `Item`."""
    blank = {"inode": 0, "nlink": 0, "mtime_ns": 0, "mode": 0}
    zeros = {name: blank[name] for name in ignoring}
    problems = [f"{path!a} is missing" for path in sorted(expected.keys() - found.keys())]
    problems += [f"{path!a} is additional" for path in sorted(found.keys() - expected.keys())]
    for path in sorted(expected.keys() & found.keys()):
        if (was := _with(expected[path], zeros)) != (now := _with(found[path], zeros)):
            problems.append(f"{path!a} is {now}, was {was}")
    return problems


def digest(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with(item: Item, values: dict[str, int]) -> Item:
    return replace(item, **values) if values else item  # type: ignore[arg-type]


def _item(path: str) -> Item:
    status = os.lstat(path)
    kind = TYPES[stat.S_IFMT(status.st_mode)]
    content = digest(path) if kind == "file" else os.readlink(path) if kind == "symlink" else ""
    return Item(
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        # btrfs gives what marks another subvolume's place in a snapshot a new time whenever it is looked up.
        mtime_ns=status.st_mtime_ns if (kind, status.st_ino) != ("directory", _MARK_OF_A_SUBVOLUME) else 0,
        # What a directory has for a size and link count is the file system's business.
        size=status.st_size if kind != "directory" else 0,
        nlink=status.st_nlink if kind != "directory" else 0,
        inode=status.st_ino,
        content=content,
    )
