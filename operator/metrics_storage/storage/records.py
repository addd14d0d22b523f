"""The journal of a local storage volume as a runner manager sees it: runners have names, lives have uids.

One name can stand for several lives, one after the other: at most one is in service, earlier ones may have been
interrupted on their way to quarantine or out of existence. Reading needs no lock, finishing does.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.directories import Directories, Place
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import (
    DirectoryCoveredError,
    DirectoryExistsError,
    DirectoryVanishedError,
    JournalError,
    MetricsStorageError,
    VolumeError,
)
from metrics_storage.model.identity import NAME_MAX, Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.storage.name_index import Names

NAMESPACE: Final = "local"
"""Stands where the namespace of a MetricsStorage stands in a cluster; other records are never touched."""

_UID_LENGTH: Final = 36

_log = logging.getLogger(__name__)


class Records:
    """The lives of runners on a storage volume."""

    def __init__(self, volume: Volume) -> None:
        self._path = volume.path
        self._journal = Journal(volume)
        self._directories = Directories(volume, adopting=True)
        self._declarations = Declarations(volume)
        self._names = Names(volume)
        self.may_be_unfinished = True
        """Whether something may be left of this or an earlier call; known while working, for the next call to know."""

    def every(self, runner_name: str | None = None) -> Iterator[Record]:
        """All lives, or those of one name; an entry that cannot be read is logged, kept and left out."""
        if runner_name is None:
            return self._read_all(self._journal.uids())
        found = self._read_all(self._names.uids(runner_name)) if self._names.complete else self.beside(runner_name)
        return (record for record in found if record.identity.name == runner_name)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep the index of names true while a call works, which has the lock; it is made where it is not complete."""
        self.may_be_unfinished = self._names.begin()
        if not self._names.complete:
            uids = set(self._journal.uids())
            identities = [record.identity for record in self._read_all(uids)]
            self._names.rebuild(identities, uids.difference(identity.uid for identity in identities))
        before = self._names.journal_stamp()
        try:
            yield
        except BaseException:
            self.may_be_unfinished |= self._names.journal_stamp() != before
            raise
        finally:
            self._names.end(unfinished=self.may_be_unfinished)

    def begin(self, identity: Identity) -> None:
        """Know of a life before its journal entry is written."""
        self._names.add(identity)

    def beside(self, runner_name: str) -> Iterator[Record]:
        """The lives of a name, and those of others that have no directory in service.

        Entries are not read whose directory stands under another name: thousands of them cost little.
        """
        live = self._live()
        # No name contains the character that follows it there; very long ones are cut, and may be anybody's.
        beginning = f"{runner_name}_"
        own = {entry for entry in live if entry.startswith(beginning) or len(entry) == NAME_MAX}
        others = {entry[-_UID_LENGTH:] for entry in live if entry not in own}
        return self._read_all(set(self._journal.uids()) - others)

    def path_in_service(self, runner_name: str) -> Path | None:
        """Where the directory of a name is that is in service, None where only a look at all lives can tell."""
        for record in self._read_all(self._names.uids(runner_name)):
            with contextlib.suppress(MetricsStorageError):
                if record.identity.name == runner_name and self.is_in_service(record):
                    return self._directories.path(Place.LIVE, record.identity)
        return None

    def _read_all(self, uids: Iterable[Uid]) -> Iterator[Record]:
        with self._journal.reading() as read:
            for uid in uids:
                try:
                    record = read(uid)
                except JournalError as exc:
                    _log.warning("left out: %s", exc)
                else:
                    if record is not None and record.identity.namespace == NAMESPACE:
                        yield record

    def _live(self) -> list[str]:
        """The names of directories that stand where those in service do."""
        try:
            return os.listdir(self._path / NAMESPACE)
        except FileNotFoundError:
            return []

    def live_inodes(self) -> dict[str, int]:
        """Names and inode numbers of directories that stand where those in service do, as one look sees them."""
        try:
            with os.scandir(self._path / NAMESPACE) as entries:
                return {entry.name: entry.inode() for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return {}

    def is_interrupted(self, record: Record) -> bool:
        """Whether the end of this life, or its beginning, was begun and not finished."""
        if not _may_be_in_service(record):
            return True
        try:
            return self._directories.find(record) is Place.TRASH
        except (DirectoryExistsError, DirectoryCoveredError):
            return False

    def path_of(self, record: Record, live_inodes: Mapping[str, int] | None = None) -> Path | None:
        """Where the directory of a life is that a manager may see: in service, or on its way to quarantine.

        `live_inodes` spares a look at each of many.

        Raises:
            DirectoryExistsError, DirectoryVanishedError: as `is_in_service`.
        """
        seen = (live_inodes or {}).get(record.identity.directory_name)
        if seen is not None and seen == record.inode and _may_be_in_service(record):
            return self._directories.path(Place.LIVE, record.identity)
        if not is_unfinished_quarantine(record):
            return self._directories.path(Place.LIVE, record.identity) if self.is_in_service(record) else None
        try:
            place = self._directories.find(record)
        except DirectoryCoveredError:
            place = Place.LIVE
        return self._directories.path(place, record.identity) if place in (Place.LIVE, Place.FROZEN) else None

    def is_vanished(self, record: Record) -> bool:
        """Whether the directory of a life in service is nowhere, removed by somebody else."""
        try:
            self.is_in_service(record)
        except DirectoryVanishedError:
            return True
        except (DirectoryExistsError, VolumeError):
            pass
        return False

    def release(self, record: Record) -> None:
        """Give up a directory that vanished."""
        self._declarations.declare_lost(record.identity.uid)

    def is_in_service(self, record: Record) -> bool:
        """Whether a runner may be using the directory of this life.

        Raises:
            DirectoryExistsError: another directory stands in its place.
            DirectoryVanishedError: it is nowhere, and the journal does not know why.
        """
        if not _may_be_in_service(record):
            return False
        try:
            place = self._directories.find(record)
        except DirectoryCoveredError:
            # Runners may be given a mount of their own on their directory.
            return os.path.ismount(self._directories.path(Place.LIVE, record.identity))
        if place is not None:
            return place is Place.LIVE
        # Without the lock, another process may have finished it between two looks.
        if self._journal.read(record.identity.uid) != record:
            return False
        raise DirectoryVanishedError(
            f"{self._directories.path(Place.LIVE, record.identity)} is not there any more, and nothing that the "
            "journal knows of removed it. Put it back if it was moved; if it is lost, say so with: metrics-storage "
            f"accept-loss --storage-root {self._path} {record.identity.uid}, and delete the storage then"
        )

    def finish(self, engine: StorageEngine, records: Iterable[Record]) -> None:
        """End lives: archive what must be archived, remove, forget. One that fails does not hold up the others.

        Raises:
            MetricsStorageError: what is left, and why; the next call goes on with it.
        """
        problems: list[Exception] = []
        for record in records:
            identity = record.identity
            try:
                if record.must_be_archived:
                    engine.archive(identity)
                engine.remove(identity)
                engine.forget(identity.uid)
                self._names.remove(identity)
            except (MetricsStorageError, OSError) as exc:
                problems.append(exc)
        if problems:
            raise MetricsStorageError("; ".join(map(str, problems))) from problems[0]


def _may_be_in_service(record: Record) -> bool:
    """Whether the journal knows of no end of this life, of which the disk may know."""
    return record.phase is Phase.PROVISIONED and record.quarantine is None


def is_unfinished_quarantine(record: Record) -> bool:
    """Whether a directory is to be archived or was, and is still there."""
    return record.quarantine is not None and record.phase in (Phase.PROVISIONED, Phase.FROZEN, Phase.VERIFIED)
