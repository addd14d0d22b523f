"""The two local directories of a manager, opened for one call and closed after it.

Whatever changes something has the lock of the storage volume; reading has not, and writes nothing, so that a list of
storages neither waits for an archive nor needs a writable mount. A new volume belongs to the owner of its directory,
also where root marks it: that user and root may use it, and what root makes in it is that user's. Only creation makes
directories and marks empty ones: for everything else, an empty directory is one that is not mounted.
"""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.root import PRIVATE, STORAGE_SYSTEM_NAMES
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import VolumeError, VolumeLockedError
from metrics_storage.model.record import Record
from metrics_storage.storage.lock_queue import queued
from metrics_storage.storage.paths import check_apart, make_directories
from metrics_storage.storage.records import Records

_log = logging.getLogger(__name__)

_RETRY: Final = 0.005


def initialised_volume(path: Path, role: Role) -> Volume:
    """Open a volume, and mark an empty directory as a new one first.

    Marking is not made for several processes at once, so that one at a time does it, by a lock on the directory.

    Raises:
        VolumeError: as `Volume`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise VolumeError(f"{role} volume {path}: {exc.strerror}; expected a directory") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.ExitStack() as stack:
            volume = stack.enter_context(Volume(path, role, initialise=True))
            _hand_over(volume)
            stack.pop_all()
        return volume
    finally:
        os.close(fd)


def _hand_over(volume: Volume) -> None:
    """Give a new volume that root has marked to the owner of its directory; done again where it was interrupted."""
    private_fd = volume.private_fd
    owner = os.fstat(volume.fd)
    is_new = not set(os.listdir(volume.fd)) - STORAGE_SYSTEM_NAMES - {PRIVATE}
    if os.geteuid() != 0 or not is_new or os.fstat(private_fd).st_uid == owner.st_uid:
        return
    for _, directories, files, fd in os.fwalk(".", topdown=False, dir_fd=private_fd):
        for name in (*directories, *files):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=fd, follow_symlinks=False)
    # Last, because it says that all is done; from here on, what root makes in it is its owner's.
    os.fchown(private_fd, owner.st_uid, owner.st_gid)
    _log.info("%s volume %s is new; it may be used by user %s and root", volume.role, volume.path, owner.st_uid)


@dataclass(frozen=True, slots=True)
class Work:
    """A locked storage volume: what can be done to it, and what it knows."""

    engine: StorageEngine
    records: Records

    def finish(self, records: Iterable[Record]) -> None:
        """End lives, as `Records.finish`."""
        self.records.finish(self.engine, records)


@dataclass(frozen=True, slots=True)
class LocalVolumes:
    """Absolute paths of the storage and the quarantine volume; `timeout` in seconds is for the lock."""

    storage: Path
    quarantine: Path
    timeout: float

    @property
    def unused(self) -> bool:
        """Whether no storage was ever made here: there is no storage directory, or an empty one."""
        return not self.storage.exists() or not set(os.listdir(self.storage)) - STORAGE_SYSTEM_NAMES

    def make(self) -> None:
        """Make the directories where they are missing.

        Raises:
            SettingsError: one is inside the other; nothing was made.
        """
        check_apart(self.storage, self.quarantine)
        make_directories(self.storage, 0o755)
        make_directories(self.quarantine, 0o700)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Records]:
        """What the storage volume knows; the quarantine volume is not needed.

        Raises:
            VolumeError: it is not one, or unusable.
        """
        with Volume(self.storage, Role.STORAGE, initialise=False, writable=False) as storage:
            yield Records(storage)

    @contextlib.contextmanager
    def working(self, *, initialise: bool = False) -> Iterator[Work]:
        """Both volumes, for one caller at a time; `initialise` marks empty directories as new volumes.

        Raises:
            VolumeError: one of them is not what it must be, or unusable.
            VolumeLockedError: another call, of any process, did not end in time.
        """
        open_volume = initialised_volume if initialise else partial(Volume, initialise=False)
        deadline = time.monotonic() + self.timeout
        with (
            open_volume(self.storage, Role.STORAGE) as storage,
            open_volume(self.quarantine, Role.QUARANTINE) as quarantine,
            queued(storage.private_fd, deadline),
        ):
            self._lock(storage, deadline)
            engine = StorageEngine(storage, LocalVault(quarantine, Origin(node=socket.gethostname())), adopting=True)
            records = Records(storage)
            with records.working():
                yield Work(engine, records)

    def _lock(self, volume: Volume, deadline: float) -> None:
        while True:
            try:
                volume.lock()
            except VolumeLockedError as exc:
                if time.monotonic() >= deadline:
                    raise VolumeLockedError(f"{exc}; waited {self.timeout:g} s for it to end") from exc
                time.sleep(_RETRY)
            else:
                return
