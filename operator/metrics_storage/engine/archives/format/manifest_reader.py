"""Reading a manifest as strictly as possible: what the writer would not have written is refused.

Checks the lines themselves and their order; whether they are true of an archive or a directory is decided in
`verify` and `compare`. Memory is bounded by one line and the depth of the tree.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Any, Final, TypeVar, get_args, get_origin

from metrics_storage.engine.archives.format.content import PLAIN_MAX, PLAIN_TOTAL
from metrics_storage.engine.archives.format.entry import VERSION, Entry
from metrics_storage.engine.archives.format.manifest import HEADERS, TRAILER, Account, Header, Trailer, line_of
from metrics_storage.engine.archives.format.paths import FOLD_BYTES, FOLD_BYTES_1, LinkTable, MemberPaths
from metrics_storage.engine.archives.format.streams import CHUNK, rewind
from metrics_storage.engine.fs.walk import printable
from metrics_storage.errors import ArchiveCorruptError, ArchiveError

_LINE_MAX: Final = 4 * 1024 * 1024
"""Longest line that is read, in bytes; the longest written is an entry with 1 MiB of extended attributes."""

_Record = TypeVar("_Record", Header, Trailer)


class ManifestReader:
    """Reads a manifest from a descriptor, from its beginning; the caller keeps owning the descriptor.

    Iterate over all entries, then ask for `trailer` and `sha256`.

    Raises:
        ArchiveCorruptError: at any point, with the number of the line.
    """

    def __init__(self, fd: int) -> None:
        rewind(fd)
        self._file = os.fdopen(fd, "rb", buffering=CHUNK, closefd=False)
        self._sha256 = sha256()
        self._number = 0
        self._trailer: Trailer | None = None
        raw, line = self._next()
        version = line.get("version")
        self.version = version if type(version) is int and version in HEADERS else VERSION
        """Of its format."""
        self.header = self._record(Header, HEADERS[self.version], raw, line)
        self._order = _WalkOrder(MemberPaths(self.header.top, FOLD_BYTES_1 if self.version == 1 else FOLD_BYTES))
        self._links = LinkTable()
        self._entries = 0
        self._plain = PLAIN_TOTAL

    @property
    def trailer(self) -> Trailer:
        """The closing account, once all entries were read."""
        if self._trailer is None:
            raise self.corrupt("the trailer was not reached")
        return self._trailer

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of what was read; of the whole manifest once all entries were."""
        return self._sha256.hexdigest()

    @property
    def components(self) -> list[bytes]:
        """Names from the directory itself, which has none, down to the latest entry."""
        return self._order.components

    def corrupt(self, what: str) -> ArchiveCorruptError:
        """An error that says at which line something is wrong."""
        return ArchiveCorruptError(f"manifest line {self._number}: {what}")

    def __iter__(self) -> Iterator[Entry]:
        """All entries, checked to be in the order of the walk, hence every path only once."""
        account = Account(self.header)
        while True:
            lines_sha256 = self.sha256
            raw, line = self._next()
            if line.get("record") != "entry":
                break
            entry = self._entry(raw, line)
            account.add(entry)
            yield entry
        trailer = self._record(Trailer, TRAILER, raw, line)
        # Directories that changed under the writer are known to it alone.
        account.changed_directories = trailer.changed_directories
        expected = account.close(trailer.archive_bytes, trailer.archive_sha256, lines_sha256)
        if trailer != expected or not trailer.entries or trailer.changed_directories < 0:
            raise self.corrupt(f"the trailer says {trailer}, the lines before it make {expected}")
        if self._file.read(1):
            raise self.corrupt("something follows the trailer")
        self._trailer = trailer

    def _entry(self, raw: bytes, line: dict[str, Any]) -> Entry:
        try:
            entry = Entry.from_json(line, self._links, self.version)
            self._order.accept(entry)
            self._require_affordable(entry)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            raise self.corrupt(f"not an entry that may stand here: {exc!r}") from exc
        if line_of(entry.to_json(self.version)) != raw:
            raise self.corrupt("an entry in another form than is ever written")
        entry.number = self._entries
        self._entries += 1
        if entry.is_link_source:
            self._links.add(entry.path if self.version == 1 else entry.number, entry.number, entry.path)
        return entry

    def _require_affordable(self, entry: Entry) -> None:
        """Check that the holes of which there are digests are no more than are ever hashed.

        Raises:
            ValueError: they are.
        """
        if self.version > 1 and entry.sparse and entry.sha256 is not None:
            self._plain -= entry.size
            if entry.size > PLAIN_MAX or self._plain < 0:
                raise ValueError("a plain digest of more holes than are ever hashed")

    def _record(self, cls: type[_Record], beginning: Mapping[str, object], raw: bytes, line: dict[str, Any]) -> _Record:
        types = {field.name: field.type for field in fields(cls)}
        values: dict[str, Any] = {name: line.get(name) for name in types}
        # Compared as text: a missing field, one too many and another order all show.
        if line_of({**beginning, **values}) != raw or not all(_is_a(values[name], types[name]) for name in types):
            raise self.corrupt(f"expected {dict(beginning)} with exactly the fields {', '.join(types)}")
        try:
            return cls(**values)
        except ArchiveError as exc:
            raise self.corrupt(str(exc)) from exc

    def _next(self) -> tuple[bytes, dict[str, Any]]:
        """The next line as it is spelled, and its fields."""
        raw = self._file.readline(_LINE_MAX)
        self._number += 1
        self._sha256.update(raw)
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError) as exc:
            raise self.corrupt(f"not JSON ({len(raw)} bytes): {exc}") from exc
        if not isinstance(line, dict):
            raise self.corrupt("not a JSON object")
        return raw, line


class _WalkOrder:
    """Knows which entry may follow: each in a directory that was entered, with a greater name than before."""

    def __init__(self, paths: MemberPaths) -> None:
        self._paths = paths
        self._latest: list[bytes] = []
        """The latest name at every depth below the top."""
        self._started = False

    @property
    def components(self) -> list[bytes]:
        return list(self._latest)

    def accept(self, entry: Entry) -> None:
        """Go on to the next entry.

        Raises:
            ValueError: it may not follow here.
        """
        if not self._started:
            self._started = True
            if entry.depth != 0 or entry.path != self._paths.top or entry.type != "directory":
                raise ValueError("the directory itself must be the first entry")
            return
        if entry.depth == 0:
            raise ValueError("the directory itself must be the first entry alone")
        level = entry.depth - 1
        if level > len(self._paths.names):
            raise ValueError(f"{printable(entry.path)} is not in a directory that came before")
        self._paths.leave_to(level)
        prefix = self._paths.prefix
        name = entry.path[len(prefix) :]
        if not entry.path.startswith(prefix) or b"/" in name or b"\0" in name or name in (b"", b".", b".."):
            raise ValueError(f"{printable(entry.path)} is not a child of {printable(prefix)}")
        if len(self._latest) > level and name <= self._latest[level]:
            raise ValueError(f"{printable(entry.path)} is out of order")
        self._latest[level:] = [name]
        if entry.type == "directory" and entry.stored:
            self._paths.enter(name)


def _is_a(value: object, expected: Any) -> bool:
    """Whether a value from JSON is exactly of the type of a field: int, str, bool or a dict of these."""
    if type(value) is not (get_origin(expected) or expected):
        return False
    if isinstance(value, dict):
        return all(type(item) is get_args(expected)[1] for item in value.values())
    return True
