"""Storages in a local directory: the engine, opened and locked for each call.

No daemon and no cluster are needed. The price is that nothing goes on by itself: what a crash interrupts is gone
on with by the next call that changes something, or by `recover`.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from metrics_storage.constants import DIRECTORY_MODE, FILESYSTEM_OWNER
from metrics_storage.errors import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage.local_volumes import LocalVolumes, Work
from metrics_storage.storage.paths import directory_path
from metrics_storage.storage.protocol import REASON, MetricsStorage, check_name, raising
from metrics_storage.storage.records import NAMESPACE, Records, is_unfinished_quarantine
from metrics_storage.timestamps import utc_now

_log = logging.getLogger(__name__)

_TIMEOUT: Final = 30.0


class FilesystemStorageManager:
    """Storages below `base_path`, archives below `quarantine_path`; processes and threads may share both.

    A runner's name is an RFC 1123 subdomain, as for Kubernetes. Runners that have one name one after the other
    have different directories and archives.
    """

    def __init__(
        self,
        base_path: Path | str,
        quarantine_path: Path | str,
        owner: str = FILESYSTEM_OWNER,
        mode: str = DIRECTORY_MODE,
        *,
        patience: float = _TIMEOUT,
    ) -> None:
        """Manage storages; the disk is not touched before the first call.

        Args:
            base_path: directory of the storages. `create` makes it where it is missing; empty, it becomes a volume.
            quarantine_path: directory of the archives, likewise; best on another disk. `~` is expanded in both.
            owner: whom storages belong to, `user:group`, numbers or names. Who is not root can give them only to
                themselves, as f"{os.getuid()}:{os.getgid()}".
            mode: permission bits of storages, octal.
            patience: seconds that a call which changes something waits for another one, of any process, to end.

        Raises:
            SettingsError: a path is empty or none.
            InvalidSpecError: owner or mode are malformed.
        """
        self._volumes = LocalVolumes(
            directory_path(base_path, "base_path"), directory_path(quarantine_path, "quarantine_path"), patience
        )
        self._spec = StorageSpec(owner=owner, mode=mode)

    def create(self, runner_name: str) -> MetricsStorage:
        """Make the storage of a runner. What an interrupted call left to remove is removed first.

        Raises:
            CreateMetricsStorageError: it exists already, or could not be made; then nothing is left behind.
        """
        with raising(CreateMetricsStorageError, f"storage of runner {runner_name!r} was not created"):
            check_name(NAMESPACE, runner_name)
            self._volumes.make()
            with self._volumes.working(initialise=True) as work:
                look = work.records.beside if work.records.may_be_unfinished else work.records.every
                found = _finish_removals(work, look(runner_name))
                work.records.may_be_unfinished = False
                for record in found:
                    if record.identity.name == runner_name:
                        raise CreateMetricsStorageError(
                            f"storage of runner {runner_name!r} exists already{_advice(work.records, record)}"
                        )
                return self._provision(work, Identity(NAMESPACE, runner_name, Uid.new()))

    def list_all(self) -> Iterator[MetricsStorage]:
        """Every storage, as it was at the time of the call; one that cannot be read is logged and left out.

        One whose quarantine failed or was interrupted stays in the list until `move_to_quarantine` has finished it.

        Raises:
            GetMetricsStorageError: the base directory is not one of storages, or cannot be read.
        """
        with raising(GetMetricsStorageError, "storages cannot be listed"):
            return iter([] if self._volumes.unused else self._read_all())

    def get(self, runner_name: str) -> MetricsStorage:
        """The storage of a runner.

        Raises:
            GetMetricsStorageError: there is none, or it vanished without a call of ours.
        """
        with raising(GetMetricsStorageError, f"storage of runner {runner_name!r}"):
            check_name(NAMESPACE, runner_name)
            if not self._volumes.unused:
                with self._volumes.reading() as records:
                    if path := records.path_in_service(runner_name):
                        return MetricsStorage(path, runner_name)
                    for record in records.every(runner_name):
                        if path := records.path_of(record):
                            return MetricsStorage(path, runner_name)
            raise GetMetricsStorageError(self._absent(runner_name))

    def delete(self, runner_name: str) -> None:
        """Remove the storage of a runner, and finish what an interrupted call left of earlier ones of its name.

        An interrupted quarantine is finished, never cut short. A storage whose directory somebody else removed is
        forgotten, with a warning; so is told an earlier one that still resists.

        Raises:
            DeleteMetricsStorageError: there is nothing of that name, or it could not be removed completely.
        """
        with raising(DeleteMetricsStorageError, f"storage of runner {runner_name!r} was not deleted"):
            check_name(NAMESPACE, runner_name)
            if self._volumes.unused:
                raise DeleteMetricsStorageError(self._absent(runner_name))
            with self._volumes.working() as work:
                records = list(work.records.every(runner_name))
                if not records:
                    raise DeleteMetricsStorageError(self._absent(runner_name))
                _give_up_vanished(work.records, records)
                _finish_latest(work, records)

    def move_to_quarantine(self, runner_name: str, reason: str = REASON) -> None:
        """Archive the storage of a runner, verify the archive, and only then remove the storage.

        The request is final: after an error the storage is kept and stays listed, its name is not free, and this
        method, `delete` or `recover` go on with it. `reason` is written into the archive's manifest.

        Raises:
            QuarantineMetricsStorageError: there is no such storage, or it could not be archived or removed.
        """
        with raising(QuarantineMetricsStorageError, f"storage of runner {runner_name!r} was not quarantined"):
            check_name(NAMESPACE, runner_name)
            if self._volumes.unused:
                raise QuarantineMetricsStorageError(self._absent(runner_name))
            with self._volumes.working() as work:
                records = [_latched(work, record, reason) for record in work.records.every(runner_name)]
                if not any(record.quarantine for record in records):
                    raise QuarantineMetricsStorageError(self._absent(runner_name))
                _finish_latest(work, records)

    def recover(self) -> None:
        """Finish everything that was interrupted, quarantines included; call it at the start of a runner manager.

        Raises:
            MetricsStorageError: what is left, and why, storages that others removed among it; the rest is finished.
        """
        with raising(MetricsStorageError, "recovery"):
            if self._volumes.unused:
                return
            with self._volumes.working() as work:
                records = list(work.records.every())
                work.finish([record for record in records if work.records.is_interrupted(record)])
                if gone := [record.identity.name for record in records if work.records.is_vanished(record)]:
                    raise MetricsStorageError(
                        f"somebody removed the directories of {', '.join(map(repr, gone))}: put them back, or delete "
                        "these storages"
                    )

    def _read_all(self) -> list[MetricsStorage]:
        found = []
        with self._volumes.reading() as records:
            live_inodes = records.live_inodes()
            for record in records.every():
                try:
                    if path := records.path_of(record, live_inodes):
                        found.append(MetricsStorage(path, record.identity.name))
                except (MetricsStorageError, OSError) as exc:
                    _log.warning("storage of runner %r is left out: %s", record.identity.name, exc)
        return found

    def _absent(self, runner_name: str) -> str:
        hint = f": {self._volumes.storage} is empty or missing, is it mounted?" if self._volumes.unused else ""
        return f"storage of runner {runner_name!r} does not exist{hint}"

    def _storage(self, record: Record) -> MetricsStorage:
        identity = record.identity
        return MetricsStorage(self._volumes.storage / identity.relative_path, identity.name)

    def _provision(self, work: Work, identity: Identity) -> MetricsStorage:
        work.records.begin(identity)
        try:
            return self._storage(work.engine.ensure(identity, self._spec).record)
        except Exception as exc:
            _undo(work, identity)
            if isinstance(exc, PermissionError):
                raise CreateMetricsStorageError(
                    f"storage of runner {identity.name!r} was not created: user {os.geteuid()} may not give a "
                    f"directory to {self._spec.owner}. Run as root, or pass the owner '{os.geteuid()}:{os.getegid()}'."
                ) from exc
            raise


def _undo(work: Work, identity: Identity) -> None:
    """Remove what a failed creation began; the error that it failed with matters more than one from here."""
    try:
        if (begun := work.engine.find(identity.uid)) is not None:
            work.finish([begun])
    except (MetricsStorageError, OSError) as exc:
        _log.warning("what was begun for runner %r is left to the next call: %s", identity.name, exc)


def _finish_removals(work: Work, records: Iterable[Record]) -> list[Record]:
    """Remove what needs no archive any more, and return the others.

    What resists is left to `delete` and `recover`, and does no harm.
    """
    others = []
    for record in records:
        if record.must_be_archived or record.phase is Phase.VERIFIED or not work.records.is_interrupted(record):
            others.append(record)
            continue
        try:
            work.finish([record])
        except MetricsStorageError as exc:
            _log.warning("an interrupted removal is not finished: %s", exc)
    return others


def _advice(records: Records, record: Record) -> str:
    """What to do about a life that is there already, as the end of a sentence; empty where it is in service."""
    if is_unfinished_quarantine(record):
        return ", and its quarantine is not finished: call move_to_quarantine again, or recover"
    return ", though somebody removed its directory: delete it first" if records.is_vanished(record) else ""


def _give_up_vanished(records: Records, found: list[Record]) -> None:
    """Let lives end whose directory is gone already; whoever deletes them has nothing to lose."""
    for record in found:
        if records.is_vanished(record):
            _log.warning(
                "the directory of runner %r was removed by somebody else: nothing is left to delete",
                record.identity.name,
            )
            records.release(record)


def _finish_latest(work: Work, records: list[Record]) -> None:
    """End the life of a name that is in service, or all; an earlier one that resists is told, and no failure then.

    Raises:
        MetricsStorageError: what is left, and why.
    """
    current = [record for record in records if record.phase is Phase.PROVISIONED]
    earlier = [record for record in records if record not in current]
    if not current:
        work.finish(earlier)
        return
    try:
        work.finish(earlier)
    except MetricsStorageError as exc:
        _log.warning("an earlier storage of runner %r is not finished: %s", current[0].identity.name, exc)
    work.finish(current)


def _latched(work: Work, record: Record, reason: str) -> Record:
    """The record with a latched quarantine, where its directory is still whole."""
    if record.phase is not Phase.PROVISIONED or record.quarantine is not None:
        return record
    # Refuses a directory that vanished: a person can release it only while no quarantine of it is latched.
    work.records.is_in_service(record)
    return work.engine.latch(record.identity, reason, utc_now())
