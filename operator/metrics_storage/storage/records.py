"""The journal of a local storage volume as a runner manager sees it: runners have names, lives have uids.

One name can stand for several lives, one after the other: at most one is in service, earlier ones may have been
interrupted on their way to quarantine or out of existence. Reading needs no lock, finishing does.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from metrics_storage.engine.directories import Directories, Place
from metrics_storage.engine.engine import StorageEngine
from metrics_storage.engine.journal import Journal
from metrics_storage.engine.volume import Volume
from metrics_storage.errors import DirectoryExistsError, DirectoryVanishedError, JournalError, MetricsStorageError
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
        for uid in self._journal.uids():
            try:
                record = self._journal.read(uid)
            except JournalError as exc:
                _log.warning("left out: %s", exc)
                continue
            if record is None or record.identity.namespace != NAMESPACE:
                continue
            if runner_name in (None, record.identity.name):
                yield record

    def is_interrupted(self, record: Record) -> bool:
        """Whether the end of this life, or its beginning, was begun and not finished."""
        if record.phase is not Phase.PROVISIONED or record.quarantine is not None:
            return True
        try:
            return self._directories.find(record) is Place.TRASH
        except DirectoryExistsError:
            return False

    def is_in_service(self, record: Record) -> bool:
        """Whether a runner may be using the directory of this life.

        Raises:
            DirectoryExistsError: another directory stands in its place.
            DirectoryVanishedError: it is nowhere, and the journal does not know why.
        """
        if record.phase is not Phase.PROVISIONED or record.quarantine is not None:
            return False
        place = self._directories.find(record)
        if place is not None:
            return place is Place.LIVE
        identity = record.identity
        # Without the lock, another process may have finished it between two looks.
        if self._journal.read(identity.uid) != record:
            return False
        raise DirectoryVanishedError(
            f"{self._path}/{identity.namespace}/{identity.directory_name} is not there any more, and nothing that the "
            "journal knows of removed it. Put it back if it was moved; if it is lost, say so with: metrics-storage "
            f"release --storage-root {self._path} {identity.uid}, and delete the storage then"
        )


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
