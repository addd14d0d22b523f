"""What is given up because the node that has it does not come back, as small files on the quarantine volume.

A file is named by the uid of a MetricsStorage or by the id of a storage volume, and says since when. Others than the
controller write them, so they are looked up on the disk each time.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.model.identity import Uid
from metrics_storage.timestamps import utc_now

_DIRECTORY: Final = "released"


class Releases:
    """The releases on an opened, writable quarantine volume."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def add(self, uid_or_volume: Uid) -> None:
        """Give up one directory, or all that a storage volume has; durable when this returns."""
        data = json.dumps({"releasedAt": utc_now()}).encode() + b"\n"
        with self._opened() as fd:
            durable.write_file(uid_or_volume, data, fd)

    def has_any(self, uids_and_volumes: Iterable[Uid]) -> bool:
        """Whether one of them was given up."""
        with self._opened() as fd:
            return any(os.access(name, os.F_OK, dir_fd=fd, follow_symlinks=False) for name in uids_and_volumes)

    def withdraw(self, uids_and_volumes: Iterable[Uid]) -> None:
        """Have none of them given up any more: they are back."""
        with self._opened() as fd:
            released = frozenset(durable.list_directory(fd)).intersection(uids_and_volumes)
            for name in released:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
            if released:
                os.fsync(fd)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        self._volume.check()
        private_fd = self._volume.private_fd
        durable.make_directory(_DIRECTORY, private_fd, 0o700, like=private_fd)
        with durable.opened_directory(_DIRECTORY, private_fd) as fd:
            yield fd
