"""Archives on the quarantine volume: written aside, verified, then committed under a name never used before.

A committed archive is opened for reading only. What is not committed lies in `incoming`, and is nobody's
evidence: it is thrown away and written anew. The source is read and never changed here.
"""

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from metrics_storage import __version__
from metrics_storage.engine.archives.format.compare import compare_source
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.archives.format.writer import ArchiveSummary, write_archive
from metrics_storage.engine.archives.unfinished import creating, discard, exists, reading, unfinished_names
from metrics_storage.engine.fs import durable
from metrics_storage.engine.fs.usage import measure
from metrics_storage.engine.fs.walk import Meter, Progress
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import ArchiveCorruptError, ArchiveError, UncleanArchiveError, VolumeFullError
from metrics_storage.model.identity import ArchiveName, Identity
from metrics_storage.model.record import Archive, Record
from metrics_storage.timestamps import utc_now

_MANIFEST_LINE: Final = 512
"""Bytes to reserve for each entry's line in the manifest and headers in the archive."""

_RESERVE: Final = 1 << 20
_INODES: Final = 3
"""Bytes and inodes that one archive may need beside its payload."""

_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed archive, its attempt number, and the first few entries that keep it from being clean.

    `accepted` says that it lacks exactly what a person accepted as lost.
    """

    archive: Archive
    attempt: int
    problems: tuple[str, ...] = ()
    accepted: bool = False


class Archiver:
    """The archives on one quarantine volume. `cluster` and `node` are for the manifests."""

    def __init__(self, volume: Volume, *, cluster: str, node: str) -> None:
        self._volume = volume
        self._cluster = cluster
        self._node = node

    def commit_provisional(self, source_fd: int, record: Record, progress: Progress | None = None) -> Committed:
        """Archive a directory that is still in use; the archive is never clean, and its source is not to be removed.

        One that was committed by an attempt whose end was not recorded is taken, so that there is one alone.

        Raises:
            VolumeFullError, ArchiveError: nothing was committed.
        """
        with self._errors(record):
            attempt = self._next_attempt(record.identity)
            if archive := self._left_behind(record, attempt - 1, progress):
                return Committed(archive, attempt - 1)
            self._check_room(source_fd, progress)
            return self._write(source_fd, record, attempt, progress, provisional=True)

    def commit(
        self, source_fd: int, record: Record, progress: Progress | None = None, *, losses: str | None = None
    ) -> Committed:
        """Archive a frozen directory; `losses` is the digest of what a person accepted as lost.

        An archive that was committed by an attempt whose end was not recorded is verified again and taken.
        One with `clean` false is committed once, so that something is safe while the source is tried again, and
        once more for every word of a person that what is lost now does not agree with: a person has to see that.

        Raises:
            VolumeFullError: no room; nothing was committed.
            UncleanArchiveError: the source changed meanwhile, or still does; nothing was committed.
            ArchiveError: it could not be written, or did not verify; nothing was committed.
        """
        with self._errors(record):
            attempt = self._next_attempt(record.identity)
            if attempt > 1 and (archive := self._take(source_fd, record, attempt - 1, progress)):
                return Committed(archive, attempt - 1)
            self._check_room(source_fd, progress)
            return self._write(source_fd, record, attempt, progress, losses=losses)

    def check(self, archive: Archive, progress: Progress | None = None) -> None:
        """See that a committed archive is still what was verified, by reading all of it.

        `progress` is told the bytes; what it raises ends the reading.

        Raises:
            ArchiveCorruptError: it is not there, or its digest differs.
        """
        self._volume.check()
        namespace, _, file = archive.path.partition("/")
        name = ArchiveName.parse(namespace, file)
        if name is None:
            raise ArchiveCorruptError(f"{archive.path!r}, which the journal names, is no archive; its source is kept")
        for file, expected in zip(name.files, (archive.sha256, archive.manifest_sha256), strict=True):
            path = f"{self._volume.path}/{namespace}/{file}"
            try:
                with durable.opened_directory(namespace, self._volume.fd) as fd:
                    found = _digest(file, fd, progress)
            except OSError as exc:
                raise ArchiveCorruptError(
                    f"{path}: {exc.strerror}; bring it back from a copy; its source is kept"
                ) from exc
            if found != expected:
                raise ArchiveCorruptError(
                    f"{path} has sha256 {found}, but {expected} was verified: bring it back from a copy; its source "
                    "is kept"
                )

    @contextlib.contextmanager
    def _errors(self, record: Record) -> Iterator[None]:
        """Check the volume first, and say in this project's words what goes wrong on it."""
        self._volume.check()
        try:
            yield
        except OSError as exc:
            self._volume.require_sync()
            if exc.errno in durable.FULL:
                raise VolumeFullError(
                    f"quarantine volume {self._volume.path} is full: make room or mount a larger one; the directory "
                    f"of {record.identity} is kept, and archiving goes on then"
                ) from exc
            raise ArchiveError(f"archiving {record.identity}: {exc}; the directory is kept") from exc

    def _next_attempt(self, identity: Identity) -> int:
        """The first attempt number of which neither archive nor manifest is on the volume."""
        try:
            with durable.opened_directory(identity.namespace, self._volume.fd) as fd:
                attempt = 1
                while any(exists(name, fd) for name in ArchiveName.of(identity, attempt).files):
                    attempt += 1
                return attempt
        except FileNotFoundError:
            return 1

    def _take(self, source_fd: int, record: Record, attempt: int, progress: Progress | None) -> Archive | None:
        """A committed archive of this very source, if it is complete, clean and verifies."""
        provisional = record.quarantine.provisional if record.quarantine else None
        if provisional and provisional.path == ArchiveName.of(record.identity, attempt).path:
            return None
        archive = self._verified(record.identity, attempt, source_fd, progress)
        if archive is None or not archive.clean:
            return None
        with durable.opened_directory("incoming", self._volume.private_fd) as incoming:
            discard(unfinished_names(record.identity), incoming)
        return archive

    def _left_behind(self, record: Record, attempt: int, progress: Progress | None) -> Archive | None:
        """An archive that is not clean, complete, and not recorded; None where there is none or another is recorded."""
        if attempt < 1 or record.has_unclean_archive:
            return None
        archive = self._verified(record.identity, attempt, None, progress)
        return None if archive is None or archive.clean else archive

    def _verified(
        self, identity: Identity, attempt: int, source_fd: int | None, progress: Progress | None
    ) -> Archive | None:
        """The archive that an attempt committed, and that its source still agrees with where one is given."""
        try:
            with durable.opened_directory(identity.namespace, self._volume.fd) as fd:
                verified = _verify(ArchiveName.of(identity, attempt).files, fd, source_fd, progress)
        except (FileNotFoundError, ArchiveError):
            return None
        return _archive(ArchiveName.of(identity, attempt), verified)

    def _check_room(self, source_fd: int, progress: Progress | None) -> None:
        """The source's usage must fit uncompressed, so that nothing stops half-way."""
        usage = measure(source_fd, progress=progress)
        need = usage.bytes + usage.files * _MANIFEST_LINE + _RESERVE
        volume = os.fstatvfs(self._volume.fd)
        free = volume.f_bavail * volume.f_frsize
        # File systems that make inodes as they go report none at all.
        if free < need or (volume.f_files and volume.f_favail < _INODES):
            raise VolumeFullError(
                f"quarantine volume {self._volume.path} has less than {need} bytes or {_INODES} inodes free, which an "
                "archive may need: make room or mount a larger one; the directory is kept"
            )

    def _write(
        self,
        source_fd: int,
        record: Record,
        attempt: int,
        progress: Progress | None,
        *,
        provisional: bool = False,
        losses: str | None = None,
    ) -> Committed:
        identity = record.identity
        aside = unfinished_names(identity)
        with durable.opened_directory("incoming", self._volume.private_fd) as incoming:
            try:
                discard(aside, incoming)
                with (
                    creating(aside[0], incoming) as archive_fd,
                    creating(aside[1], incoming) as manifest_fd,
                ):
                    header = self._header(record, attempt, provisional)
                    summary = write_archive(source_fd, archive_fd, manifest_fd, header, progress=progress)
                accepted = losses is not None and summary.losses == losses
                final = summary.clean or accepted
                if not final and not provisional:
                    if earlier := self._left_behind(record, attempt - 1, progress):
                        discard(aside, incoming)
                        return Committed(earlier, attempt - 1, summary.problems)
                    if record.has_unclean_archive and not (losses and summary.losses):
                        raise UncleanArchiveError("; ".join(summary.problems))
                verified = _verify(aside, incoming, source_fd if final else None, progress, summary)
                durable.make_directory(identity.namespace, self._volume.fd, 0o700, like=self._volume.private_fd)
                names = ArchiveName.of(identity, attempt).files
                with durable.opened_directory(identity.namespace, self._volume.fd) as namespace:
                    # The archive goes last: with it the pair is complete.
                    durable.move(aside[1], incoming, names[1], namespace)
                    durable.move(aside[0], incoming, names[0], namespace)
            except BaseException:
                discard(aside, incoming)
                raise
        return Committed(_archive(ArchiveName.of(identity, attempt), verified), attempt, summary.problems, accepted)

    def _header(self, record: Record, attempt: int, provisional: bool) -> Header:
        quarantine = record.quarantine
        return Header(
            cluster=self._cluster,
            namespace=record.identity.namespace,
            name=record.identity.name,
            uid=record.identity.uid,
            node=self._node,
            reason=quarantine.reason if quarantine else "",
            attempt=attempt,
            provisional=provisional,
            requested_at=quarantine.requested_at if quarantine else "",
            created_at=utc_now(),
            software={"metrics-storage-operator": __version__, "python": platform.python_version()},
        )


def _verify(
    names: tuple[str, str],
    dir_fd: int,
    source_fd: int | None,
    progress: Progress | None,
    written: ArchiveSummary | None = None,
) -> VerifiedArchive:
    """Read archive and manifest back from fresh descriptors, and then the source again."""
    with reading(names[0], dir_fd) as archive_fd, reading(names[1], dir_fd) as manifest_fd:
        verified = verify_archive(archive_fd, manifest_fd, progress=progress)
        if written and (written.archive_sha256, written.manifest_sha256) != (
            verified.archive_sha256,
            verified.manifest_sha256,
        ):
            raise ArchiveCorruptError(
                "what was read back is not what was written, and nothing was committed: is the quarantine volume sound?"
            )
        if source_fd is not None:
            os.lseek(manifest_fd, 0, os.SEEK_SET)
            differences = compare_source(source_fd, manifest_fd, progress=progress)
            if differences:
                raise UncleanArchiveError("the source changed after it was archived: " + "; ".join(differences))
    return verified


def _digest(name: str, dir_fd: int, progress: Progress | None) -> str:
    digest = hashlib.sha256()
    meter = Meter(progress)
    with reading(name, dir_fd) as fd:
        while block := os.read(fd, _BUFFER):
            digest.update(block)
            meter.add(bytes_=len(block))
    return digest.hexdigest()


def _archive(name: ArchiveName, verified: VerifiedArchive) -> Archive:
    return Archive(
        path=name.path,
        sha256=verified.archive_sha256,
        manifest_sha256=verified.manifest_sha256,
        size_bytes=verified.archive_bytes,
        payload_bytes=verified.payload_bytes,
        files=verified.files,
        clean=verified.clean,
        completed_at=utc_now(),
    )
