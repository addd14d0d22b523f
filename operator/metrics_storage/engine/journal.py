"""The journal: one small JSON file per uid on the storage volume. It is the truth about what was done to disk."""

import errno
import json
import os
import re
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine import durable
from metrics_storage.engine.volume import Volume
from metrics_storage.errors import JournalError
from metrics_storage.model.record import Record

_ENTRY: Final = re.compile(r"([0-9a-f-]{36})\.json")


class Journal:
    """Entries of a storage volume, each replaced as a whole and durable when a call returns."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def read(self, uid: str) -> Record | None:
        """The entry of a uid, None where there is none.

        Raises:
            JournalError: the entry cannot be understood; nothing may be done to that uid's directory.
        """
        try:
            with durable.opened_directory("journal", self._volume.private_fd) as fd:
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
            try:
                durable.write_file(f"{record.identity.uid}.json", data, fd)
            except OSError as exc:
                # Who fills the volume must not keep its own directory from being archived and removed.
                if exc.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._volume.give_up_reserve():
                    raise
                durable.write_file(f"{record.identity.uid}.json", data, fd)
        return record

    def remove(self, uid: str) -> None:
        """Remove the entry of a uid whose life is over."""
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            os.unlink(f"{uid}.json", dir_fd=fd)
            os.fsync(fd)

    def uids(self) -> Iterator[str]:
        """The uids that have an entry, readable or not."""
        with durable.opened_directory("journal", self._volume.private_fd) as fd:
            names = os.listdir(fd)
        return (match[1] for name in names if (match := _ENTRY.fullmatch(name)))
