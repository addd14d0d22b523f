"""The journal of a local storage volume as a runner manager sees it: runners have names, lives have uids.

One name can stand for several lives, one after the other: at most one is in service, earlier ones may have been
interrupted on their way to quarantine or out of existence. Reading needs no lock, finishing does.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from metrics_storage.engine.directories import Directories, Place
from metrics_storage.engine.engine import StorageEngine
from metrics_storage.engine.journal import Journal
from metrics_storage.engine.volume import Volume
from metrics_storage.errors import (
    DirectoryCoveredError,
    DirectoryExistsError,
    DirectoryVanishedError,
    JournalError,
    MetricsStorageError,
    VolumeError,
)
from metrics_storage.model.record import Phase, Record

NAMESPACE: Final = "local"
"""Stands where the namespace of a MetricsStorage stands in a cluster; other records are never touched."""

_log = logging.getLogger(__name__)


class Records:
    """The lives of runners on a storage volume."""

    def __init__(self, volume: Volume) -> None:
        self._path = volume.path
        self._journal = Journal(volume)
        self._directories = Directories(volume, adopting=True)

    def every(self, runner_name: str | None = None) -> Iterator[Record]:
        """All lives, or those of one name; an entry that cannot be read is logged, kept and left out."""
        found = self._read_all(self._journal.uids()) if runner_name is None else self.beside(runner_name)
        return (record for record in found if runner_name in (None, record.identity.name))

    def beside(self, runner_name: str) -> Iterator[Record]:
        """The lives of a name, and those of others that have no directory in service.

        Entries are not read whose directory stands under another name: thousands of them cost little.
        """
        live = self._live_names()
        return self._read_all(uid for uid in self._journal.uids() if runner_name.startswith(live.get(uid, "")))

    def _read_all(self, uids: Iterable[str]) -> Iterator[Record]:
        return (record for uid in uids if (record := self._read(uid)) is not None)

    def _read(self, uid: str) -> Record | None:
        try:
            record = self._journal.read(uid)
        except JournalError as exc:
            _log.warning("left out: %s", exc)
            return None
        return record if record is not None and record.identity.namespace == NAMESPACE else None

    def _live_names(self) -> dict[str, str]:
        """Uid and name, cut where it is very long, of what stands where storages in service do."""
        try:
            names = os.listdir(self._path / NAMESPACE)
        except FileNotFoundError:
            return {}
        return {uid: name for name, _, uid in (entry.rpartition("_") for entry in names)}

    def is_interrupted(self, record: Record) -> bool:
        """Whether the end of this life, or its beginning, was begun and not finished."""
        if record.phase is not Phase.PROVISIONED or record.quarantine is not None:
            return True
        try:
            return self._directories.find(record) is Place.TRASH
        except (DirectoryExistsError, DirectoryCoveredError):
            return False

    def path_of(self, record: Record) -> Path | None:
        """Where the directory of a life is that a manager may see: in service, or on its way to quarantine.

        Raises:
            DirectoryExistsError, DirectoryVanishedError: as `is_in_service`.
        """
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
        self._directories.release(record.identity.uid)

    def is_in_service(self, record: Record) -> bool:
        """Whether a runner may be using the directory of this life.

        Raises:
            DirectoryExistsError: another directory stands in its place.
            DirectoryVanishedError: it is nowhere, and the journal does not know why.
        """
        if record.phase is not Phase.PROVISIONED or record.quarantine is not None:
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
            f"release --storage-root {self._path} {record.identity.uid}, and delete the storage then"
        )


def is_unfinished_quarantine(record: Record) -> bool:
    """Whether a directory is to be archived or was, and is still there."""
    return record.quarantine is not None and record.phase in (Phase.PROVISIONED, Phase.FROZEN, Phase.VERIFIED)


def finish(engine: StorageEngine, records: Iterable[Record]) -> None:
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
        except (MetricsStorageError, OSError) as exc:
            problems.append(exc)
    if problems:
        raise MetricsStorageError("; ".join(map(str, problems))) from problems[0]
