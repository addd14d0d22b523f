"""Where an entry of the source stands in the archive, and what remembers hard links.

Both are decided from the sequence of entries alone, so that writing, verifying and comparing come to the same
result independently. Nothing here touches the disk.
"""

from typing import Final

_FOLD_BYTES: Final = 3072
"""Longest path of a directory whose content is stored below it: with a name of 255 bytes more, extraction
stays below the kernel's PATH_MAX of 4096, and a deep tree costs no more than its entries."""

_LINK_TABLE_BYTES: Final = 96 * 1024 * 1024
_LINK_ENTRY_BYTES: Final = 160
"""Measured cost of an entry of the table apart from the path itself."""


class MemberPaths:
    """Paths in the archive: everything below one top directory, so that extracting spills nothing.

    A directory whose path exceeds 3072 bytes is stored empty, and its content under the further top directory
    `<top>~1` (then `~2` and so on, in the order of the walk); no runner's name contains `~`.
    """

    def __init__(self, top: bytes) -> None:
        self.top = top
        self.names: list[bytes] = []
        """Names of the directories that were entered below the top, outermost first."""
        self._folds: list[tuple[int, bytes]] = [(0, top)]
        self._fold_count = 0
        self._prefix: bytes | None = top + b"/"

    @property
    def prefix(self) -> bytes:
        """What stands before the name of a child of the innermost directory entered."""
        if self._prefix is None:
            level, base = self._folds[-1]
            self._prefix = b"/".join([base, *self.names[level:]]) + b"/"
        return self._prefix

    def enter(self, name: bytes) -> None:
        """Go down into a child directory."""
        prefix = self.prefix + name + b"/"
        self.names.append(name)
        if len(prefix) > _FOLD_BYTES:
            self._fold_count += 1
            base = self.top + b"~%d" % self._fold_count
            self._folds.append((len(self.names), base))
            prefix = base + b"/"
        self._prefix = prefix

    def leave_to(self, level: int) -> None:
        """Go up until this many directories below the top are entered."""
        if len(self.names) > level:
            del self.names[level:]
            while self._folds[-1][0] > level:
                self._folds.pop()
            self._prefix = None


class LinkTable:
    """First stored path of every regular file that has several links, by device and inode.

    Its memory is bounded: once full it takes no more files, whose further links are then stored as files of
    their own (the manifest still tells their inode).
    """

    def __init__(self) -> None:
        self._paths: dict[int, bytes] = {}
        self._room = _LINK_TABLE_BYTES

    def find(self, device: int, inode: int) -> bytes | None:
        """Path under which this file was stored."""
        return self._paths.get(device << 64 | inode)

    def add(self, device: int, inode: int, path: bytes) -> None:
        """Remember a file that was stored for the first time."""
        self._room -= _LINK_ENTRY_BYTES + len(path)
        if self._room >= 0:
            self._paths[device << 64 | inode] = path
