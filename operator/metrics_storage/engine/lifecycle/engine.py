"""The engine: the life of a storage directory, one journalled step after the other.

Every method can be called again at any time and goes on where the journal and the disk say it stopped. The
rules that protect evidence are enforced here, whatever the caller believes: a latched quarantine is never
cancelled, nothing is condemned before its archive is verified, and only what was condemned is removed.

Calls for one uid must not overlap; calls for different uids may. The engine knows nothing of Kubernetes.
"""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.archives.vault import Vault
from metrics_storage.engine.fs.usage import measure
from metrics_storage.engine.fs.walk import Progress, within
from metrics_storage.engine.lifecycle.directories import Place, resolve_ownership
from metrics_storage.engine.lifecycle.lives import Lives
from metrics_storage.engine.lifecycle.quarantines import Quarantines
from metrics_storage.engine.lifecycle.token import new_token
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import (
    DirectoryExistsError,
    JournalError,
)
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Ensured, Phase, Quarantine, Record
from metrics_storage.model.spec import StorageSpec, check_unchanged
from metrics_storage.model.usage import Usage

_FINAL = (Phase.GONE, Phase.RETAINED)

_MEASURE_TIMEOUT: Final = 10.0
"""Seconds for measuring a directory whose runner may be at work; a million entries take about as long."""


_Step = TypeVar("_Step", bound=Callable[..., Any])


def _syncing_after_failure(step: _Step) -> _Step:
    """After a step that failed, the next one trusts what it sees only once it was flushed.

    A rename whose fsync failed is seen as done all the same, and would never be flushed again.
    """

    @functools.wraps(step)
    def step_or_sync(self: "StorageEngine", *args: Any, **kwargs: Any) -> Any:
        try:
            return step(self, *args, **kwargs)
        except OSError:
            self.storage.require_sync()
            raise

    return cast("_Step", step_or_sync)


class StorageEngine:
    """The directories of one storage volume, and their archives in one vault."""

    def __init__(self, storage: Volume, vault: Vault, *, adopting: bool = False) -> None:
        """Work on an opened and locked volume.

        With `adopting`, directories that were copied with their volume count as those that were provisioned.

        Raises:
            VolumeError: the volume is not there any more as it was opened.
        """
        self.storage = storage
        storage.check()  # Flushes what a predecessor left in the page cache, before anything is built upon it.
        self.archives = Archiver(vault)
        self._lives = Lives(storage, adopting=adopting)
        self._journal, self._directories = self._lives.journal, self._lives.directories
        self._journal.keep_spares()
        self._adopting = adopting
        self._quarantines = Quarantines(self._lives, self.archives)

    def find(self, uid: Uid) -> Record | None:
        """What the journal knows about a uid; None where nothing was ever begun or all is over."""
        return self._lives.find(uid)

    def uids(self) -> Iterator[Uid]:
        """The uids in the journal."""
        self.storage.check()
        return self._journal.uids()

    def free_bytes(self) -> int:
        """Bytes that are free on the storage volume."""
        self.storage.check()
        found = os.fstatvfs(self.storage.fd)
        return found.f_bavail * found.f_frsize

    @_syncing_after_failure
    def ensure(self, identity: Identity, spec: StorageSpec) -> Ensured:
        """Make the directory, or see that it is there and as it should be.

        Raises:
            InvalidSpecError: unknown owner, or a change of what is immutable.
            DirectoryExistsError: something unknown to the journal stands there.
            DirectoryVanishedError: it was removed by somebody, and may have had content.
            JournalError: its life is past being provided.
        """
        record = self.find(identity.uid)
        ownership = resolve_ownership(spec)
        if record is None:
            if self._directories.exists_live(identity):
                raise DirectoryExistsError(
                    f"{self.storage.path}/{identity.relative_path} exists, but the "
                    "journal does not know it: move it away, or restore the journal entry"
                )
            record = self._journal.write(Record(identity=identity, spec=spec, token=new_token()))
        if record.phase not in (Phase.PROVISIONING, Phase.PROVISIONED):
            raise JournalError(f"{identity} cannot be provided any more: its directory is {record.phase}")
        check_unchanged(record.spec, spec)
        repairs: tuple[str, ...] = ()
        if record.phase is Phase.PROVISIONED:
            # Owner and mode are the runner's and the kubelet's (fsGroup) from here on, and are left to them.
            record, place = self._lives.locate(record)
            if place is Place.LIVE:
                return Ensured(record)
            if place is not None or record.had_content is not False:
                raise self._lives.vanished(identity, record.inode)
            repairs = ("the directory had vanished, was empty when last measured, and was made anew",)
            record = self._journal.write(replace(record, phase=Phase.PROVISIONING, inode=None))
        if record.phase is Phase.PROVISIONING:
            inode = self._directories.make(identity, ownership, record.token)
            record = self._journal.write(replace(record, phase=Phase.PROVISIONED, inode=inode))
        return Ensured(record, repairs)

    @_syncing_after_failure
    def latch(self, identity: Identity, reason: str, requested_at: str) -> Record:
        """Record that the directory must be archived before anything else happens to it.

        One-way: later calls change nothing, not even the reason. `requested_at` is RFC 3339 in UTC.

        Raises:
            JournalError: there is no such directory, or it is condemned, gone or left to its owner already.
        """
        record = self._lives.known(identity)
        if record.quarantine is not None:
            return record
        if record.phase is Phase.PROVISIONING:
            record = self.ensure(identity, record.spec).record
        if record.phase is not Phase.PROVISIONED:
            raise JournalError(f"{identity} cannot be quarantined any more: its directory is {record.phase}")
        return self._journal.write(replace(record, quarantine=Quarantine(reason=reason, requested_at=requested_at)))

    @_syncing_after_failure
    def archive(self, identity: Identity, progress: Progress | None = None) -> Record:
        """Freeze the directory of a latched quarantine, archive it and verify the archive.

        Nobody may be using the directory any more. On return the record is Verified (or further; Gone without an
        archive only where a person released a directory that had vanished). `progress` is
        called with the bytes and entries done so far; what it raises ends the attempt.

        Raises:
            JournalError: no quarantine is latched.
            DirectoryVanishedError: there is nothing to archive, and no archive.
            UncleanArchiveError: the source changed or was unreadable meanwhile; it is kept, call again.
            VolumeFullError, ArchiveError: no archive was committed; the source is kept, call again.
        """
        return self._quarantines.archive(identity, progress)

    @_syncing_after_failure
    def snapshot(self, identity: Identity, progress: Progress | None = None) -> Record:
        """Archive the directory of a latched quarantine although it is still in use, once.

        Whoever is flagged may shred the evidence while the claim waits for the Pod. What comes of this is never
        clean: the source stays, and `archive` follows.

        Raises:
            JournalError: no quarantine is latched.
            VolumeFullError, ArchiveError: nothing was committed; `archive` follows all the same.
        """
        return self._quarantines.snapshot(identity, progress)

    @_syncing_after_failure
    def condemn(self, identity: Identity, progress: Progress | None = None) -> Record:
        """Move the directory into the trash, from where only `remove` leads; quick, whatever it holds.

        The archive of a quarantine is read once more first; `progress` is told its bytes, and may end that.

        Raises:
            JournalError: a quarantine is latched whose archive is not verified.
            ArchiveCorruptError: the verified archive is not there any more as it was; the source is kept.
            DirectoryVanishedError: somebody else removed it; a person accepts that by `metrics-storage accept-loss`.
        """
        record = self._lives.known(identity)
        if record.phase in _FINAL:
            return record
        if record.must_be_archived:
            raise JournalError(f"{identity} must be archived before it is removed: {record.quarantine}")
        return record if record.phase is Phase.CONDEMNED else self._condemn(record, progress)

    @_syncing_after_failure
    def remove(self, identity: Identity, progress: Progress | None = None) -> Record:
        """Condemn the directory if need be, and remove it from the trash.

        What `progress` raises ends the attempt; the next one goes on with what is left.

        Raises:
            RemovalError: something in it resists; the rest is gone, and the next call tries again.
            Whatever `condemn` raises.
        """
        record = self.condemn(identity, progress)
        if record.phase is Phase.CONDEMNED:
            if self._adopting:
                record, _ = self._lives.locate(record)
            self._directories.remove_from_trash(record, progress)
            record = self._journal.write(record.at(Phase.GONE))
            self._journal.keep_spares()
        self._lives.declarations.drop(identity.uid)
        return record

    @_syncing_after_failure
    def retain(self, identity: Identity) -> Record:
        """Leave the directory to its owner, for good.

        Raises:
            JournalError: a quarantine is latched, or its removal has begun.
            DirectoryVanishedError: there is none to leave, and no person has released it.
        """
        record = self._lives.known(identity)
        if record.phase in _FINAL:
            return record
        if record.quarantine is not None or record.phase not in (Phase.PROVISIONING, Phase.PROVISIONED):
            raise JournalError(f"{identity} cannot be left to its owner: its directory is {record.phase}")
        record, place = self._lives.locate(record)
        if place is None:
            return self._condemn(record)
        if place is Place.TRASH:  # A removal began, and was interrupted before it condemned anything.
            self._directories.bring_back(identity)
        return self._journal.write(record.at(Phase.RETAINED))

    def check_never_made(self, identity: Identity, *, claimed: bool) -> None:
        """See that a uid without journal entry has nothing that deletion would lose.

        `claimed` says that somebody saw the directory provisioned, so that the entry itself must be lost.

        Raises:
            DirectoryExistsError: there is a directory of that uid.
            DirectoryVanishedError: there is none, but it is claimed, and no person has released it.
        """
        self.storage.check()
        if (place := self._directories.occupied(identity)) is not None:
            raise DirectoryExistsError(
                f"{identity} has a {place} directory on storage volume {self.storage.path}, but no journal entry: "
                "restore the entry, or move the directory away"
            )
        if claimed and not self._lives.declarations.is_lost(identity.uid):
            raise self._lives.vanished(identity)

    @_syncing_after_failure
    def forget(self, uid: Uid) -> None:
        """Drop the journal entry of a directory whose life is over and whose owner is gone."""
        record = self.find(uid)
        if record is None:
            return
        if record.phase is Phase.GONE or (record.phase is Phase.RETAINED and self._directories.find(record) is None):
            self._journal.remove(uid)

    @_syncing_after_failure
    def measure(self, identity: Identity, progress: Progress | None = None) -> Usage | None:
        """Usage of a live directory, None where there is none to measure, or too much for the time there is."""
        record = self.find(identity.uid)
        if record is None or record.phase is not Phase.PROVISIONED:
            return None
        usage: Usage | None
        try:
            with self._directories.opened(Place.LIVE, identity) as fd:
                usage = measure(fd, progress=within(_MEASURE_TIMEOUT, progress))
        except FileNotFoundError:
            return None
        except TimeoutError:
            usage = None
        had_content = bool(record.had_content) or usage is None or usage.files > 0
        if had_content is not record.had_content:
            self._journal.write(replace(record, had_content=had_content))
        return usage

    def _condemn(self, record: Record, progress: Progress | None = None) -> Record:
        record, place = self._lives.locate(record)
        if place is None:
            if record.phase is Phase.PROVISIONING or self._lives.declarations.is_lost(record.identity.uid):
                return self._journal.write(record.at(Phase.GONE))
            raise self._lives.vanished(record.identity, record.inode)
        if record.phase is Phase.VERIFIED and record.quarantine and record.quarantine.archive:
            self.archives.check(record.identity, record.quarantine.archive, progress)
        if record.inode is None:
            with self._directories.opened(place, record.identity) as fd:
                record = replace(record, inode=os.fstat(fd).st_ino)
        if place is not Place.TRASH:
            self._directories.move(record.identity, place, Place.TRASH)
        return self._journal.write(record.at(Phase.CONDEMNED))
