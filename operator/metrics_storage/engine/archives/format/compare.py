"""Comparing a directory with a manifest: whether what was archived is what is there, content included.

Reads the source again through the same code as the writer. Says what differs, and leaves to the caller what
that means.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from typing import Final

from metrics_storage.engine.archives.format.entry import VERSION, Entry
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.format.scan import scan
from metrics_storage.engine.fs.walk import Meter, Progress, Visit, printable

_NAMED: Final = 5
"""How many differences are told one by one."""


_NOT_COMPARED: Final = frozenset(("path", "number", "link_number", "payload", "sparse", "sha256"))
"""Where an entry stands in the archive, and what depends on how the file system lays content out."""


def compare_source(source_fd: int, manifest_fd: int, *, progress: Progress | None = None) -> tuple[str, ...]:
    """Compare an open directory with a manifest and return the differences; empty means equal.

    Names, types, modes, owners, times of modification, sizes, links, inodes, extended attributes and content
    are compared; times of access and of change, and where a file has holes, are not. After the first few
    differences, escaped, a last line says how many there are in all.

    Raises:
        ArchiveCorruptError: the manifest is not valid.
        OSError: the directory itself cannot be listed, or reading the manifest failed.
    """
    manifest = ManifestReader(manifest_fd)
    if manifest.version != VERSION:
        return (f"the manifest is of version {manifest.version}, which tells too little to compare",)
    sink = _Differences(Meter(progress))
    with closing(scan(source_fd, manifest.header.top, sink)) as found:
        _compare(found, manifest, sink)
    return sink.summary()


class _Differences:
    """Collects differences, and takes what is read without keeping it."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._count = 0
        self._named: list[str] = []

    def begin(self, entry: Entry) -> None:
        """Nothing to do: the entry is compared when it is complete."""

    def write(self, data: bytes) -> None:
        self.meter.add(bytes_=len(data))

    def directory_changed(self, path: bytes) -> None:
        self.add(path, "changed while it was compared")

    def add(self, path: bytes, what: str) -> None:
        self._count += 1
        if len(self._named) < _NAMED:
            self._named.append(f"{printable(path)}: {what}")

    def summary(self) -> tuple[str, ...]:
        more = (f"{self._count} differences in all",) if self._count > _NAMED else ()
        return (*self._named, *more)


def _compare(source: Iterator[tuple[Visit, Entry]], manifest: ManifestReader, differences: _Differences) -> None:
    """Merge two sequences that are in the same order; names from the root down decide which is ahead."""
    recorded = iter(manifest)
    there, archived = next(source, None), next(recorded, None)
    in_step = True
    while there is not None or archived is not None:
        ahead = _ahead(there, archived, manifest, in_step)
        if there is not None and ahead <= 0:
            differences.meter.add(entries=1)
        if there is not None and archived is not None and ahead == 0:
            _compare_entry(there[1], archived, differences)
        elif there is not None and ahead < 0:
            differences.add(there[1].path, "is not in the archive")
            in_step = False
        elif archived is not None:
            differences.add(archived.path, "is not there any more")
            in_step = False
        there = next(source, None) if ahead <= 0 else there
        archived = next(recorded, None) if ahead >= 0 else archived


def _ahead(there: tuple[Visit, Entry] | None, archived: Entry | None, manifest: ManifestReader, in_step: bool) -> int:
    """-1 if the source's entry comes first, 1 if the manifest's (its latest) does, 0 if they are the same."""
    if there is None or archived is None:
        return 1 if there is None else -1
    visit, entry = there
    # As long as everything was the same, so are the directories above; in deep trees names would cost too much.
    if in_step and entry.path == archived.path:
        return 0
    found = [*visit.ancestors, visit.name] if visit.depth else []
    recorded = manifest.components
    return (found > recorded) - (found < recorded)


def _compare_entry(found: Entry, archived: Entry, differences: _Differences) -> None:
    names = [
        field.name
        for field in fields(Entry)
        if field.name not in _NOT_COMPARED and getattr(found, field.name) != getattr(archived, field.name)
    ]
    if names:
        details = (f"{name} {getattr(found, name)!r:.80}, archived {getattr(archived, name)!r:.80}" for name in names)
        differences.add(found.path, "; ".join(details))
