"""A queue at the lock of a storage volume: who came first is served first, and nobody waits for ever.

The lock itself knows no order: of many who try again and again, some are served often and others never. Here each
takes a ticket, a numbered file below `.metrics-storage/queue` on which it holds a lock, and waits until no lower
number is held. A ticket whose holder died is not locked any more, and whoever is next takes it away.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine.fs import durable

_DIRECTORY: Final = "queue"
_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1


@contextlib.contextmanager
def queued(private_fd: int, deadline: float) -> Iterator[None]:
    """Wait for all who came before; at `deadline` (monotonic) no longer. The place in the queue ends with the block.

    Where no ticket can be written, as on a full volume, nobody is waited for.
    """
    with contextlib.ExitStack() as stack:
        try:
            durable.make_directory(_DIRECTORY, private_fd, 0o700, like=private_fd)
            fd = stack.enter_context(durable.opened_directory(_DIRECTORY, private_fd))
            number = stack.enter_context(_ticket(fd))
        except OSError:
            pass
        else:
            _wait(fd, number, deadline)
        yield


@contextlib.contextmanager
def _ticket(fd: int) -> Iterator[int]:
    """A number higher than all that are there, held until the block ends."""
    while True:
        number = max(_numbers(fd), default=0) + 1
        try:
            ticket = os.open(str(number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=fd)
        except FileExistsError:
            continue
        try:
            durable.give(ticket, fd)
            # Whoever looked before it was locked has taken it for one that nobody holds.
            if _locked(ticket, fcntl.LOCK_EX) and os.fstat(ticket).st_nlink:
                try:
                    yield number
                finally:
                    _take_away(number, fd)
                    # Not by closing alone: a process that was forked meanwhile has it open, too.
                    fcntl.flock(ticket, fcntl.LOCK_UN)
                return
        finally:
            os.close(ticket)


def _wait(fd: int, number: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        before = [other for other in _numbers(fd) if other < number]
        if not before:
            return
        if not _abandoned(max(before), fd):
            # Who is next looks often, and who is not disturbs nobody.
            time.sleep(min(_PAUSE * len(before), _LONGEST_PAUSE))


def _abandoned(number: int, fd: int) -> bool:
    """Whether nobody holds a ticket any more; then it is taken away."""
    try:
        ticket = os.open(str(number), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not _locked(ticket, fcntl.LOCK_SH):
            return False
        _take_away(number, fd)
        return True
    finally:
        os.close(ticket)


def _numbers(fd: int) -> list[int]:
    return [int(name) for name in durable.list_directory(fd) if name.isdecimal()]


def _locked(ticket: int, kind: int) -> bool:
    try:
        fcntl.flock(ticket, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_away(number: int, fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(str(number), dir_fd=fd)
