"""Archives of directories: written into a vault, verified there, and compared with their source before they count.

The source is read and never changed here. What an archive is known by, its digests and its counts, is what was
computed here, and the vault has to agree.
"""

import contextlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from metrics_storage import __version__
from metrics_storage.engine.archives.format.compare import compare_source
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.archives.format.writer import ArchiveSummary, write_archive
from metrics_storage.engine.archives.vault import Digests, Draft, Vault
from metrics_storage.engine.fs.usage import measure
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import ArchiveCorruptError, ArchiveError, UncleanArchiveError
from metrics_storage.model.identity import ArchiveName, Identity
from metrics_storage.model.record import Archive, Record
from metrics_storage.timestamps import utc_now

_MANIFEST_LINE: Final = 512
"""Bytes to reserve for each entry's line in the manifest and headers in the archive."""

_RESERVE: Final = 1 << 20
"""Bytes that one archive may need beside its payload."""


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
    """Archives directories into one vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def commit_provisional(self, source_fd: int, record: Record, progress: Progress | None = None) -> Committed:
        """Archive a directory that is still in use; the archive is never clean, and its source is not to be removed.

        One that was committed by an attempt whose end was not recorded is taken, so that there is one alone.

        Raises:
            VolumeFullError, ArchiveError: nothing was committed.
        """
        with _errors(record):
            latest = self._vault.recover(record.identity)
            if archive := self._left_behind(record, latest, progress):
                return Committed(archive, latest)
            return self._write(source_fd, record, progress, provisional=True)

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
        with _errors(record):
            latest = self._vault.recover(record.identity)
            if latest and (archive := self._take(source_fd, record, latest, progress)):
                return Committed(archive, latest)
            return self._write(source_fd, record, progress, losses=losses)

    def check(self, identity: Identity, archive: Archive, progress: Progress | None = None) -> None:
        """See that a committed archive is still what was verified, by having all of it read.

        `progress` is told the bytes; what it raises ends the reading.

        Raises:
            ArchiveCorruptError: it is not there, or its digest differs.
        """
        name = ArchiveName.parse(*archive.path.rpartition("/")[::2])
        if name is None or name != ArchiveName.of(identity, name.attempt):
            raise ArchiveCorruptError(
                f"{archive.path!r}, which the journal names, is no archive of {identity}; its source is kept"
            )
        found = self._vault.digests(identity, name.attempt, progress)
        verified = Digests(archive.sha256, archive.manifest_sha256)
        if found != verified:
            raise ArchiveCorruptError(
                f"archive {archive.path} and its manifest have the SHA-256 {found.archive} and {found.manifest}, but "
                f"{verified.archive} and {verified.manifest} were verified: bring them back from a copy; its source "
                "is kept"
            )

    def _take(self, source_fd: int, record: Record, attempt: int, progress: Progress | None) -> Archive | None:
        """A committed archive of this very source, if it is complete, clean and verifies."""
        provisional = record.quarantine.provisional if record.quarantine else None
        if provisional and provisional.path == ArchiveName.of(record.identity, attempt).path:
            return None
        archive = self._verified(record.identity, attempt, source_fd, progress)
        return archive if archive and archive.clean else None

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
            with self._vault.reading(identity, attempt) as (archive_fd, manifest_fd):
                verified = verify_archive(archive_fd, manifest_fd, progress=progress)
            if source_fd is not None:
                with self._vault.reading(identity, attempt) as (_, manifest_fd):
                    _require_unchanged(source_fd, manifest_fd, progress)
        except (FileNotFoundError, ArchiveError):
            return None
        return _archive(ArchiveName.of(identity, attempt), verified)

    def _write(
        self,
        source_fd: int,
        record: Record,
        progress: Progress | None,
        *,
        provisional: bool = False,
        losses: str | None = None,
    ) -> Committed:
        with self._vault.draft(record.identity, _room(source_fd, progress)) as draft:
            header = _header(record, draft, provisional)
            summary = write_archive(source_fd, draft.archive_fd, draft.manifest_fd, header, progress=progress)
            accepted = losses is not None and summary.losses == losses
            final = summary.clean or accepted
            if not final and not provisional:
                if earlier := self._left_behind(record, draft.attempt - 1, progress):
                    return Committed(earlier, draft.attempt - 1, summary.problems)
                if record.has_unclean_archive and not (losses and summary.losses):
                    raise UncleanArchiveError("; ".join(summary.problems))
            _require_as_written(draft, summary, progress)
            if final:
                with draft.reading_manifest() as manifest_fd:
                    _require_unchanged(source_fd, manifest_fd, progress)
            draft.commit()
        archive = _archive(ArchiveName.of(record.identity, draft.attempt), summary)
        return Committed(archive, draft.attempt, summary.problems, accepted)


@contextlib.contextmanager
def _errors(record: Record) -> Iterator[None]:
    """Say in this project's words what goes wrong with an archive."""
    try:
        yield
    except OSError as exc:
        raise ArchiveError(f"archiving {record.identity}: {exc}; the directory is kept") from exc


def _room(source_fd: int, progress: Progress | None) -> int:
    """Bytes that an archive may need: the source's usage uncompressed, so that nothing stops half-way."""
    usage = measure(source_fd, progress=progress)
    return usage.bytes + usage.files * _MANIFEST_LINE + _RESERVE


def _header(record: Record, draft: Draft, provisional: bool) -> Header:
    quarantine = record.quarantine
    return Header(
        cluster=draft.origin.cluster,
        namespace=record.identity.namespace,
        name=record.identity.name,
        uid=record.identity.uid,
        node=draft.origin.node,
        reason=quarantine.reason if quarantine else "",
        attempt=draft.attempt,
        provisional=provisional,
        requested_at=quarantine.requested_at if quarantine else "",
        created_at=utc_now(),
        software={"metrics-storage-operator": __version__, "python": platform.python_version()},
    )


def _require_as_written(draft: Draft, written: ArchiveSummary, progress: Progress | None) -> None:
    """Have the vault read the archive back from its disk, and see that it found what was written."""
    if draft.verify(progress) != Digests(written.archive_sha256, written.manifest_sha256):
        raise ArchiveCorruptError(
            "what was read back is not what was written, and nothing was committed: is the quarantine volume sound?"
        )


def _require_unchanged(source_fd: int, manifest_fd: int, progress: Progress | None) -> None:
    """Walk the source again."""
    differences = compare_source(source_fd, manifest_fd, progress=progress)
    if differences:
        raise UncleanArchiveError("the source changed after it was archived: " + "; ".join(differences))


def _archive(name: ArchiveName, found: ArchiveSummary | VerifiedArchive) -> Archive:
    return Archive(
        path=name.path,
        sha256=found.archive_sha256,
        manifest_sha256=found.manifest_sha256,
        size_bytes=found.archive_bytes,
        payload_bytes=found.payload_bytes,
        files=found.files,
        clean=found.clean,
        completed_at=utc_now(),
    )
