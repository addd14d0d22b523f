"""Restoring an archive into a new, empty directory, with every danger refused.

Archive and manifest are distrusted as in `verify`: every header, every digest and the end are checked again while
content is written, so that an archive that changes after its verification is found out. What is refused is
decided in `policy`, how entries are made on disk in `target`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.format.payload import read_payload
from metrics_storage.engine.archives.format.streams import GzipReader
from metrics_storage.engine.archives.format.tarformat import BLOCK, RECORD, Member, decode
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.restore.policy import Judge, Refusals, RestoreOptions
from metrics_storage.engine.archives.restore.target import RestoreTarget
from metrics_storage.engine.fs.walk import Meter, Progress, printable
from metrics_storage.errors import ArchiveCorruptError, ArchiveError

_UNSUITABLE: Final = frozenset(
    {
        *(errno.EFBIG, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EMLINK),
        *(errno.EEXIST, errno.EACCES),
    }
)
"""What a file system says to an entry that it cannot hold or will not name so, as one that takes `A` and `a` for the
same name; anything else ends the work."""


@dataclass(slots=True)
class Restored:
    """What was restored: entries, bytes of content, what was refused, extended attributes that could not be set."""

    entries: int = 0
    bytes: int = 0
    refused: Refusals = field(default_factory=Refusals)
    lost_xattrs: int = 0


def restore_archive(
    archive_fd: int,
    manifest_fd: int,
    target_fd: int,
    verified: VerifiedArchive,
    options: RestoreOptions,
    *,
    progress: Progress | None = None,
) -> Restored:
    """Restore a verified archive below an open, empty directory, as one directory named like the runner.

    Nothing that exists is ever touched. After an error, what was restored so far stays.

    Raises:
        ArchiveCorruptError: the archive is not what was verified.
        ArchiveError: an entry was refused and `options` do not say to go on, or it could not be written; the
            message names it.
    """
    manifest = ManifestReader(manifest_fd)
    archive = GzipReader(archive_fd)
    with RestoreTarget(target_fd, options) as target:
        restorer = _Restorer(archive, target, options, Meter(progress))
        for entry in manifest:
            with _naming(entry):
                restorer.restore(entry)
        target.leave_to(0)
        restorer.result.lost_xattrs = target.lost_xattrs
    if decode(archive.read) is not None:
        raise ArchiveCorruptError("archive has a member more than its manifest")
    archive.read(-archive.position % RECORD)
    archive.finish()
    if (archive.sha256, manifest.sha256) != (verified.archive_sha256, verified.manifest_sha256):
        raise ArchiveCorruptError("archive or manifest changed after it was verified: do not trust what was restored")
    return restorer.result


class _Restorer:
    """Takes entries in the order of the manifest, each with its member of the archive."""

    def __init__(self, archive: GzipReader, target: RestoreTarget, options: RestoreOptions, meter: Meter) -> None:
        self.result = Restored()
        self._archive = archive
        self._target = target
        self._skip_refused = options.skip_refused
        self._judge = Judge(options)
        self._meter = meter
        self._refused_directory: Entry | None = None

    def restore(self, entry: Entry) -> None:
        """Restore one entry, or refuse it."""
        self._target.leave_to(entry.depth)
        self._meter.add(entries=1)
        if not entry.stored:
            return
        if decode(self._archive.read) != Member.of(entry):
            raise ArchiveCorruptError("the archive says something else than its manifest")
        reason = self._judge.refusal(entry) or self._refusal_above(entry) or self._make(entry)
        if reason is None:
            self.result.entries += 1
            self.result.bytes += entry.payload
            return
        if entry.type == "directory" and self._refused_directory is None:
            self._refused_directory = entry
        self.result.refused.add(entry, reason)
        if not self._skip_refused:
            raise ArchiveError(reason)
        for piece in self._archive.pieces(entry.payload + -entry.payload % BLOCK):
            self._meter.add(bytes_=len(piece))

    def _refusal_above(self, entry: Entry) -> str | None:
        """Why nothing can be made where the entry belongs, None where it can."""
        above = self._refused_directory
        if above is None or entry.depth <= above.depth:
            self._refused_directory = None
            return None
        return "its directory was refused"

    def _make(self, entry: Entry) -> str | None:
        """Make the entry; None, or why the file system cannot hold it (then none of its content was read)."""
        name = entry.path.rpartition(b"/")[2]
        fd = -1
        try:
            if entry.type == "directory":
                self._target.enter(entry, name)
            elif entry.link_number is not None:
                self._target.link(entry.link_number, name)
            elif entry.type == "symlink":
                self._target.symlink(entry, name)
            elif entry.type == "fifo":
                self._target.fifo(entry, name)
            else:
                fd = self._target.create(name)
                # The size first: a file system that cannot hold it says so before anything is written.
                os.ftruncate(fd, entry.size)
        except OSError as exc:
            if exc.errno not in _UNSUITABLE or not entry.depth:
                raise
            if fd != -1:
                os.close(fd)
                self._target.discard(name)
            return f"this file system cannot hold it: {exc.strerror}"
        if fd != -1:
            try:
                self._fill(fd, entry)
                self._target.finish(fd, entry)
            finally:
                os.close(fd)
            self._offer(entry, name)
        return None

    def _fill(self, fd: int, entry: Entry) -> None:
        """Write the content where it belongs; between the extents of a sparse file stay holes."""
        for start, piece in read_payload(self._archive, entry):
            offset = start
            rest = memoryview(piece)
            while rest:
                written = os.pwrite(fd, rest, offset)
                offset += written
                rest = rest[written:]
            self._meter.add(bytes_=len(piece))

    def _offer(self, entry: Entry, name: bytes) -> None:
        if entry.is_link_source:
            # Without hard links in the target's file system, the further ones are refused, each by name.
            with contextlib.suppress(OSError):
                self._target.offer(entry, name)
                self._judge.accept(entry)


@contextlib.contextmanager
def _naming(entry: Entry) -> Iterator[None]:
    """Say at which entry something went wrong."""
    try:
        yield
    except (ArchiveCorruptError, ValueError) as exc:
        raise ArchiveCorruptError(
            f"{printable(entry.path)}: not what was verified, do not trust what was restored: {exc}"
        ) from exc
    except ArchiveError as exc:
        raise ArchiveError(f"{printable(entry.path)}: {exc}") from exc
    except OSError as exc:
        raise ArchiveError(f"{printable(entry.path)} cannot be restored: {exc.strerror}") from exc
