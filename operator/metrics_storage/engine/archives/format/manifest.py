"""The manifest: one JSON line for what was archived and why, one for each entry, one that closes the account.

Its lines are canonical, so that reading is strict: a line is valid only if writing what was read gives the same
bytes. This module has its values and the writer, `manifest_reader` the reader;
both stream, neither knows tar, and neither touches the source.

Header: format, version, identity, reason, times, versions of the software. Entry: see `Entry`. Trailer: counts
by type, bytes, `clean`, size and SHA-256 of the archive file and the SHA-256 of all lines before it.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

from metrics_storage.engine.archives.format.entry import VERSION, Entry
from metrics_storage.engine.archives.format.losses import Losses
from metrics_storage.engine.archives.format.streams import BlockWriter, HashedOutput
from metrics_storage.engine.fs.walk import printable
from metrics_storage.errors import ArchiveError

HEADER: Final = {"record": "header", "format": "metrics-storage-manifest", "version": VERSION}
HEADERS: Final = {version: HEADER | {"version": version} for version in range(1, VERSION + 1)}
TRAILER: Final = {"record": "trailer"}
"""What the first line begins with, also in each version that is read, and the last one."""

_NAMED: Final = 5
"""How many problems are told by name."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is archived, why and by whom; times are the caller's strings, `name` is the archive's top directory.

    `provisional` says that the source was still in use, so that the archive is not clean whatever was seen.

    Raises:
        ArchiveError: the name cannot be that of a directory.
    """

    cluster: str
    namespace: str
    name: str
    uid: str
    node: str
    reason: str
    attempt: int
    provisional: bool
    requested_at: str
    created_at: str
    software: dict[str, str]

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or not self.name.isprintable() or set("/~") & set(self.name):
            raise ArchiveError(f"name {self.name!r} cannot be the top directory of an archive")

    @property
    def top(self) -> bytes:
        """Top directory of the archive."""
        return self.name.encode()


@dataclass(frozen=True, slots=True)
class Trailer:
    """The closing account of a manifest; sizes in bytes, digests as hexadecimal SHA-256."""

    entries: int
    types: dict[str, int]
    payload_bytes: int
    changed_directories: int
    clean: bool
    archive_bytes: int
    archive_sha256: str
    lines_sha256: str


class Account:
    """What the trailer says of the entries, counted by writer and reader alike."""

    def __init__(self, header: Header) -> None:
        self._provisional = header.provisional
        self.types: Counter[str] = Counter()
        self.payload_bytes = 0
        self.changed_directories = 0
        self.dirty = 0

    def add(self, entry: Entry) -> None:
        self.types[entry.type] += 1
        self.payload_bytes += entry.payload
        self.dirty += entry.status != "ok"

    def close(self, archive_bytes: int, archive_sha256: str, lines_sha256: str) -> Trailer:
        return Trailer(
            self.types.total(),
            dict(sorted(self.types.items())),
            self.payload_bytes,
            self.changed_directories,
            not (self.dirty or self.changed_directories or self._provisional),
            archive_bytes,
            archive_sha256,
            lines_sha256,
        )


class ManifestWriter:
    """Writes a manifest to a descriptor; without `finish` it is no manifest.

    Raises:
        OSError: from every method, where writing fails.
    """

    def __init__(self, output: HashedOutput, header: Header) -> None:
        self._output = output
        self._block = BlockWriter(output)
        self._account = Account(header)
        self.losses = Losses()
        self.problems: list[str] = []
        """The first few entries that were not archived as they were, for people."""
        self._block.write(line_of(HEADER | asdict(header)))

    def add(self, entry: Entry) -> None:
        """Write the next entry in the order of the walk."""
        self._account.add(entry)
        self.losses.add(entry)
        if entry.status != "ok":
            self._name(f"{printable(entry.path)}: {entry.problem}")
        self._block.write(line_of(entry.to_json()))

    def add_changed_directory(self, path: bytes) -> None:
        """Note that a directory changed after its entry was written."""
        self._account.changed_directories += 1
        self.losses.complete = False
        self._name(f"{printable(path)}: changed while it was read")

    def finish(self, archive_bytes: int, archive_sha256: str) -> Trailer:
        """Write the trailer, when the archive is complete."""
        self._block.flush()
        trailer = self._account.close(archive_bytes, archive_sha256, self._output.sha256)
        self._output.write(line_of(TRAILER | asdict(trailer)))
        return trailer

    def _name(self, problem: str) -> None:
        if len(self.problems) < _NAMED:
            self.problems.append(problem)


def line_of(fields: dict[str, Any]) -> bytes:
    """The one way in which these fields are written as a line."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
