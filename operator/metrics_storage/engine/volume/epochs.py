"""Epochs: each controller takes a higher number than all before it, and a volume refuses the lower ones.

A number is the name of an empty file below `.metrics-storage/epochs`. None is ever removed, so that none is taken
twice: there is one for each start of a controller.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import StaleEpochError

_DIRECTORY: Final = "epochs"


class Epochs:
    """The epochs of an opened, writable volume."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._accepting = threading.Lock()
        self.accepted = 0
        """The epoch that was accepted last by this process, 0 before the first."""

    def take(self) -> int:
        """A number that is higher than every other, and nobody else's; durable when this returns."""
        self._volume.check()
        with self._opened() as fd:
            while True:
                number = _highest(fd) + 1
                with contextlib.suppress(FileExistsError):  # Somebody else was faster.
                    _record(number, fd)
                    return number

    def accept(self, epoch: int) -> None:
        """Go on with the controller of this epoch, and refuse every earlier one from now on.

        Raises:
            StaleEpochError: a later one was accepted before, by this process or an earlier one.
        """
        with self._accepting:
            if epoch == self.accepted:
                return
            self._volume.check()
            with self._opened() as fd:
                highest = _highest(fd)
                if epoch < highest:
                    raise StaleEpochError(
                        f"epoch {epoch} is over, {self._volume.path} has seen {highest}: another controller has taken "
                        "over"
                    )
                if epoch > highest:
                    _record(epoch, fd)
            self.accepted = epoch

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        private_fd = self._volume.private_fd
        durable.make_directory(_DIRECTORY, private_fd, 0o700, like=private_fd)
        with durable.opened_directory(_DIRECTORY, private_fd) as fd:
            yield fd


def _highest(fd: int) -> int:
    return max((int(name) for name in durable.list_directory(fd) if name.isdecimal()), default=0)


def _record(number: int, fd: int) -> None:
    """Make the file of a number, durably.

    Raises:
        FileExistsError: somebody else has it.
    """
    with durable.opened(str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, fd):
        os.fsync(fd)
