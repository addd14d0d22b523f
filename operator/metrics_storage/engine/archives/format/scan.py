"""The entries of a whole source directory in the order of the walk: what the writer and the comparison share."""

import os
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Protocol

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.paths import MemberPaths
from metrics_storage.engine.archives.format.source import Sink, Source
from metrics_storage.engine.fs.subvolumes import is_stub
from metrics_storage.engine.fs.walk import Step, Visit, walk


class DirectorySink(Sink, Protocol):
    """A sink that is also told which directories changed after their entry was read."""

    def directory_changed(self, path: bytes) -> None:
        """Something was added, removed or moved in this directory meanwhile."""


def scan(source_fd: int, top: bytes, sink: DirectorySink) -> Generator[tuple[Visit, Entry], None, None]:
    """Read every entry below an open directory, itself first; close the generator to free descriptors.

    Raises:
        OSError: from the sink, or because the directory itself cannot be listed.
    """
    paths = MemberPaths(top)
    source = Source(sink)
    entered: list[int | None] = []
    with closing(walk(source_fd)) as visits:
        for visit in visits:
            if visit.step is Step.LEAVE:
                paths.leave_to(max(visit.depth - 1, 0))
                before = entered.pop()
                if before is not None and _modified(visit) != before:
                    sink.directory_changed(_path(paths, visit))
                continue
            path = _path(paths, visit)
            if visit.step is Step.ENTER and visit.stat is not None:
                # Of what has no time of its own, a change cannot be told.
                entered.append(None if is_stub(visit.parent_fd, visit.stat) else visit.stat.st_mtime_ns)
            yield visit, source.read(visit, path)
            if visit.step is Step.ENTER and visit.depth:
                paths.enter(visit.name)


def _path(paths: MemberPaths, visit: Visit) -> bytes:
    return paths.prefix + visit.name if visit.depth else paths.top


def _modified(visit: Visit) -> int | None:
    """When the directory that is being left was last modified, in ns; None where it is not there any more."""
    if visit.problem is None:
        with suppress(OSError):
            return os.lstat(visit.name, dir_fd=visit.parent_fd).st_mtime_ns
    return None
