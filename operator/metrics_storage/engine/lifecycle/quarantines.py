"""Quarantines: a directory is frozen, archived, and its archive verified, attempt after attempt.

Nothing is condemned here; the engine does that once the journal says Verified.
"""

from dataclasses import replace
from typing import Final

from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.engine.lifecycle.directories import Place
from metrics_storage.engine.lifecycle.lives import Lives
from metrics_storage.errors import JournalError, PersistentlyUncleanError, UncleanArchiveError
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Phase, Record

_UNCLEAN_LIMIT: Final = 3
"""Attempts at a clean archive before a person is called; they go on nevertheless."""


class Quarantines:
    """The latched quarantines of one storage volume; `StorageEngine` says what the steps mean and raise."""

    def __init__(self, lives: Lives, archives: Archiver) -> None:
        self._lives = lives
        self._journal, self._directories = lives.journal, lives.directories
        self._archives = archives

    def archive(self, identity: Identity, progress: Progress | None) -> Record:
        """Freeze the directory, archive it and verify the archive."""
        record = self._lives.known(identity)
        quarantine = record.quarantine
        if quarantine is None:
            raise JournalError(f"{identity} has no latched quarantine")
        if not record.must_be_archived:
            return record
        record, place = self._lives.locate(record)
        if place is None and self._lives.declarations.is_lost(identity.uid):
            record = self._journal.write(record.at(Phase.GONE))
            self._lives.declarations.drop(identity.uid)
            return record
        if place is None or (record.phase is Phase.FROZEN and place is not Place.FROZEN):
            raise self._lives.vanished(identity, record.inode)
        if record.phase is not Phase.FROZEN:
            record = self._freeze(record, place)
        try:
            with self._directories.opened(Place.FROZEN, identity) as source_fd:
                losses = self._lives.declarations.accepted_losses(identity.uid)
                committed = self._archives.commit(source_fd, record, progress, losses=losses)
        except UncleanArchiveError as exc:
            raise self._count_unclean(record, str(exc)) from exc
        if committed.archive.clean or committed.accepted:
            done = replace(
                quarantine,
                attempt=committed.attempt,
                archive=committed.archive,
                accepted_losses=losses if committed.accepted else None,
            )
            return self._journal.write(replace(record, phase=Phase.VERIFIED, quarantine=done))
        provisional = replace(quarantine, attempt=committed.attempt, provisional=committed.archive)
        problems = "; ".join(committed.problems)
        if losses:
            problems += " (not what was accepted as lost: what is lost now has to be looked at and accepted anew)"
        error = self._count_unclean(replace(record, quarantine=provisional), problems)
        if losses:
            self._lives.declarations.drop(identity.uid)
        raise error

    def snapshot(self, identity: Identity, progress: Progress | None) -> Record:
        """Archive the directory although it is still in use, once."""
        record = self._lives.known(identity)
        quarantine = record.quarantine
        if quarantine is None:
            raise JournalError(f"{identity} has no latched quarantine")
        if record.phase is not Phase.PROVISIONED or quarantine.provisional:
            return record
        record, place = self._lives.locate(record)
        if place is not Place.LIVE:
            raise self._lives.vanished(identity, record.inode)
        with self._directories.opened(Place.LIVE, identity) as source_fd:
            committed = self._archives.commit_provisional(source_fd, record, progress)
        provisional = replace(quarantine, attempt=committed.attempt, provisional=committed.archive)
        return self._journal.write(replace(record, quarantine=provisional))

    def _count_unclean(self, record: Record, problems: str) -> UncleanArchiveError:
        """The error of one more attempt that was not clean, counted in the journal."""
        quarantine = record.quarantine
        if quarantine is None:
            raise JournalError(f"{record.identity} has no latched quarantine")
        count = quarantine.unclean + 1
        self._journal.write(replace(record, quarantine=replace(quarantine, unclean=count)))
        kept = f"; the incomplete archive {quarantine.provisional.path} is kept" if quarantine.provisional else ""
        subject = f"attempt {count} at a clean archive of {record.identity} failed, its source is kept"
        message = f"{subject}: {problems}{kept}"
        if count < _UNCLEAN_LIMIT:
            return UncleanArchiveError(message)
        uid = record.identity.uid
        return PersistentlyUncleanError(
            f"{message}. Mend the source; or accept that what cannot be read is lost: metrics-storage archives accept "
            f"{uid}; or move .metrics-storage/frozen/{uid} away from storage volume {self._lives.storage.path} to a "
            f"safe place, and then say, where the operator runs: metrics-storage accept-loss {uid}"
        )

    def _freeze(self, record: Record, place: Place) -> Record:
        if place is not Place.FROZEN:
            self._directories.move(record.identity, place, Place.FROZEN)
        return self._journal.write(record.at(Phase.FROZEN))
