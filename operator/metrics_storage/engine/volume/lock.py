"""The lock of a volume: one process at a time works on it."""

import contextlib
import errno
import fcntl
import os
import socket
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.errors import VolumeError, VolumeLockedError
from metrics_storage.timestamps import utc_now

_LOCK: Final = "lock"


def take_lock(private_fd: int, volume: str) -> int:
    """Descriptor of the lock file below a volume's private directory, locked; `volume` is for messages.

    Raises:
        VolumeLockedError: somebody else has it; the message says who.
        VolumeError: the file system has no locks.
    """
    fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=private_fd)
    try:
        durable.give(fd, private_fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.pread(fd, 1024, 0).decode(errors="replace").strip() or "an unknown process"
        os.close(fd)
        if exc.errno not in (errno.EAGAIN, errno.EACCES):
            raise VolumeError(f"{volume} cannot be locked: {exc.strerror}") from exc
        raise VolumeLockedError(f"{volume} is in use by {holder}") from exc
    with contextlib.suppress(OSError):  # Only for the message of whoever waits; the volume may be full.
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()} since {utc_now()}\n".encode(), 0)
    return fd
