"""Where an entry of the source stands in the archive, and what remembers hard links.

Both are decided from the sequence of entries alone, so that writing, verifying and comparing come to the same
result independently. Nothing here touches the disk.
"""

from typing import Final

FOLD_BYTES: Final = 1024
"""Longest path of a directory whose content is stored below it: many short names in a deep directory must not
make a manifest that is hundreds of times as large as the directory."""

FOLD_BYTES_1: Final = 3072
"""The same in manifests of version 1."""

_LINK_TABLE_BYTES: Final = 160 * 1024 * 1024
_LINK_ENTRY_BYTES: Final = 260
"""Cost of an entry of the table apart from the path itself."""


class MemberPaths:
    """Paths in the archive: everything below one top directory, so that extracting spills nothing.

    A directory whose path exceeds `fold_bytes` is stored empty, and its content under the further top directory
    `<top>~1` (then `~2` and so on, in the order of the walk); no runner's name contains `~`.
    """

    def __init__(self, top: bytes, fold_bytes: int = FOLD_BYTES) -> None:
        self.top = top
        self._fold_bytes = fold_bytes
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
        if len(prefix) > self._fold_bytes:
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
    """Number and path of the entries that later ones may be hard links to, by what a link says of them.

    Its memory is bounded: once full it takes no more files, whose further links are then stored as files of
    their own (the manifest still tells their inode).
    """

    def __init__(self) -> None:
        self._entries: dict[int | bytes, tuple[int, bytes]] = {}
        self._room = _LINK_TABLE_BYTES

    def find(self, key: int | bytes) -> tuple[int, bytes] | None:
        """Number and path of the entry under this key."""
        return self._entries.get(key)

    def add(self, key: int | bytes, number: int, path: bytes) -> None:
        """Remember an entry that holds the content of a file with several links."""
        self._room -= _LINK_ENTRY_BYTES + len(path)
        if self._room >= 0:
            self._entries[key] = (number, path)
