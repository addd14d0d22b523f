"""The journal: one small JSON file per uid on the storage volume. It is the truth about what was done to disk."""

import contextlib
import functools
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import JournalError
from metrics_storage.model.identity import Uid
from metrics_storage.model.record import Phase, Record

_SPARES: Final = tuple(map(str, range(8)))
"""Files that hold space and inodes back, for entries of a volume that a runner has filled."""

_SUFFIX: Final = ".json"


class Journal:
    """Entries of a storage volume, each replaced as a whole and durable when a call returns."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._spares_lock = threading.Lock()
        """For whoever writes over a spare, or reads an entry that may be one in the next moment."""

    def read(self, uid: Uid) -> Record | None:
        """The entry of a uid, None where there is none.

        Raises:
            JournalError: the entry cannot be understood; nothing may be done to that uid's directory.
        """
        with self.reading() as read:
            return read(uid)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[Uid], Record | None]]:
        """`read` for many entries."""
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            yield functools.partial(self._read, fd)

    def _read(self, fd: int, uid: Uid) -> Record | None:
        try:
            with self._spares_lock:
                data = durable.read_file(f"{uid}.json", fd)
        except FileNotFoundError:
            return None
        try:
            record = Record.from_json(json.loads(data))
        except (ValueError, JournalError) as exc:
            raise JournalError(
                f"journal entry {self._volume.path}/.metrics-storage/journal/{uid}.json: {exc}. "
                "Its directory is kept; run a version that can read it, or restore the entry."
            ) from exc
        if record.identity.uid != uid:
            raise JournalError(f"journal entry {uid}.json is about {record.identity}")
        return record

    def write(self, record: Record) -> Record:
        """Make `record` the entry of its uid."""
        data = json.dumps(record.to_json(), separators=(",", ":")).encode() + b"\n"
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            name = f"{record.identity.uid}.json"
            try:
                durable.write_file(name, data, fd)
            except OSError as exc:
                # Who fills the volume must not keep directories from being archived and removed.
                if exc.errno not in durable.FULL or not _is_leaving(record):
                    raise
                with self._spares() as spares_fd:
                    if not durable.overwrite_spare(spares_fd, name, data, fd):
                        raise
        return record

    def keep_spares(self) -> None:
        """Hold back what a full volume needs, as far as there is room for it."""
        with self._spares() as fd:
            for spare in _SPARES:
                durable.make_spare(spare, fd)

    def remove(self, uid: Uid) -> None:
        """Remove the entry of a uid whose life is over."""
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            os.unlink(f"{uid}.json", dir_fd=fd)
            os.fsync(fd)

    @contextlib.contextmanager
    def _spares(self) -> Iterator[int]:
        with self._spares_lock, durable.opened_directory("spares", self._volume.private_fd) as fd:
            yield fd

    def uids(self) -> Iterator[Uid]:
        """The uids that have an entry, readable or not."""
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            names = durable.list_directory(fd)
        uids = (Uid.parse(name.removesuffix(_SUFFIX)) for name in names if name.endswith(_SUFFIX))
        return (uid for uid in uids if uid is not None)


def _is_leaving(record: Record) -> bool:
    """Whether its directory is on the way to archive or trash; who comes new must not use up what that needs."""
    return record.quarantine is not None or record.phase not in (Phase.PROVISIONING, Phase.PROVISIONED)
