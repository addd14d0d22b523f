"""The one way of walking a directory tree that somebody hostile has filled, and may still be changing.

Everything is relative to open descriptors, no link is followed, no mount crossed, and nothing but directories
is ever opened. The order is the same every time (names sorted as bytes, a directory before its content), depth
costs neither stack nor descriptors, and the names in memory are bounded: of large directories they come in passes.
What fails at an entry is told as a value; what it means (skip, keep, refuse) is the caller's decision.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import nsmallest
from itertools import chain, islice
from typing import Final

from metrics_storage.engine.fs.subvolumes import is_snapshot_of, make_writable
from metrics_storage.engine.fs.syscalls import open_beneath

Progress = Callable[[int, int], None]
"""Called now and then with (bytes done, entries done); what it raises ends the work and reaches the caller."""

_REPORT_BYTES: Final = 16 * 1024 * 1024
_REPORT_ENTRIES: Final = 256
"""How much work may pass between two calls of a `Progress`."""

_MAX_OPEN: Final = 32
"""Directories below the root that are open at once; ancestors further up are reopened on the way back."""

_MAX_NAMES: Final = 1 << 17
"""Names that are in memory at once; 300 bytes each where they are long."""


def within(seconds: float, progress: Progress | None = None) -> Progress:
    """Let work go on for so many seconds: who may still change a tree can make a walk of it endless.

    The returned `Progress` calls the given one, and raises TimeoutError when the time is over.
    """
    end = time.monotonic() + seconds

    def go_on(bytes_: int, entries: int) -> None:
        if progress:
            progress(bytes_, entries)
        if time.monotonic() > end:
            raise TimeoutError(f"not done within {seconds:g} s")

    return go_on


class Meter:
    """Adds up what was done and calls a `Progress` neither too often nor too seldom."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._bytes = self._entries = 0
        self._next_bytes = self._next_entries = 0

    def add(self, *, bytes_: int = 0, entries: int = 0) -> None:
        """Count work that was done; raises whatever the `Progress` raises."""
        self._bytes += bytes_
        self._entries += entries
        if self._progress and (self._bytes >= self._next_bytes or self._entries >= self._next_entries):
            self._next_bytes = self._bytes + _REPORT_BYTES
            self._next_entries = self._entries + _REPORT_ENTRIES
            self._progress(self._bytes, self._entries)


class Step(Enum):
    """What the walk is doing at an entry."""

    ENTER = auto()
    """A directory; its content follows, then `LEAVE`."""
    LEAVE = auto()
    """The same directory after its content."""
    ENTRY = auto()
    """Anything else: not a directory, or one that cannot be walked (then `problem` says why)."""


@dataclass(slots=True)
class Visit:
    """One step at one entry; valid only until the walk goes on.

    `problem` is an errno or None: ENOENT for what vanished after its directory was listed, EXDEV for the place
    where another mount or a snapshot of the surrounding volume begins, ESTALE for what cannot be reached any more
    because a directory was moved away from its parent, otherwise what the kernel said. On ENTER it says that the
    directory cannot be listed to its end: what could be listed follows. On LEAVE it says that the parent is lost.
    """

    step: Step
    parent_fd: int
    """Open directory that holds the entry, or -1 where it is lost; for the root, the root itself."""
    name: bytes
    """Name in the parent; `.` for the root."""
    ancestors: list[bytes]
    """Names of the directories above, without the root. Belongs to the walk: copy what is to be kept."""
    fd: int = -1
    """The directory itself, open, on ENTER; otherwise -1."""
    stat: os.stat_result | None = None
    """As lstat, or None where that failed and on LEAVE."""
    problem: int | None = None

    @property
    def depth(self) -> int:
        """0 for the root, 1 for its children."""
        return len(self.ancestors) + (self.name != b".")

    @property
    def path(self) -> bytes:
        """Path below the root, whose own path is `.`; costs as much as it is long."""
        return b"/".join([*self.ancestors, self.name])


@dataclass(slots=True)
class _Frame:
    """A directory on the way from the root to the current entry; `fd` is -1 while closed, or when lost."""

    fd: int
    device: int
    inode: int
    name: bytes
    pending: list[bytes] = field(default_factory=list)
    """Names that are to be visited next, in descending order."""
    last: bytes = b""
    """The name that was visited last."""
    listed: bool = False
    """Nothing is left to be visited but what is pending."""
    problem: int | None = None
    """Why listing it ended before its end, the last time."""

    def fill(self) -> int:
        """Have the next names pending, where there are any more; returns their number."""
        if self.fd == -1:
            raise OSError(errno.ESTALE, "a directory was moved away while it was walked, and is not known whole")
        self.problem = None
        names = self._further_names()
        first = list(islice(names, _MAX_NAMES + 1))
        self.listed = len(first) <= _MAX_NAMES
        self.pending = sorted(first if self.listed else nsmallest(_MAX_NAMES, chain(first, names)), reverse=True)
        return len(self.pending)

    def _further_names(self) -> Iterator[bytes]:
        """All names after the last one that was visited, as far as the kernel tells them."""
        empty = True
        try:
            # The position belongs to the descriptor: whoever listed it before may have stopped in the middle.
            os.lseek(self.fd, 0, os.SEEK_SET)
            with os.scandir(self.fd) as entries:
                for entry in entries:
                    empty = False
                    if (name := os.fsencode(entry.name)) > self.last:
                        yield name
            if empty:
                os.fstat(self.fd)  # A directory that was removed on its NFS server lists as empty.
        except OSError as exc:
            self.problem = exc.errno

    def drop(self) -> int:
        """Forget the names that are pending, to be listed again; returns their number."""
        dropped = len(self.pending)
        if dropped:
            self.pending, self.listed = [], False
        return dropped

    def close(self) -> None:
        if self.fd != -1:
            os.close(self.fd)
            self.fd = -1

    def reopen_from(self, child_fd: int) -> None:
        """Open again through `..` of a child, but only what was open before; otherwise stay closed: lost."""
        if self.fd != -1 or child_fd == -1:
            return
        with contextlib.suppress(OSError):
            fd = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=child_fd)
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                self.fd = fd
            else:
                os.close(fd)


def printable(path: bytes, limit: int = 120) -> str:
    """A name or path for messages: pure ASCII, nothing that controls a terminal or breaks a line, bounded."""
    if len(path) > limit:
        path = path[: limit // 2] + b"..." + path[-limit // 2 :]
    return repr(path)[2:-1]


def open_directory(parent_fd: int, name: bytes, *, unlock: bool = False) -> int:
    """Open a directory for walking: not a link, not elsewhere, not on another mount.

    Args:
        unlock: first give ourselves rwx on it where its mode lacks that; only for what is going to be removed.

    Raises:
        OSError: among others ENOTDIR or ELOOP (something else), EXDEV (another mount).
    """
    if unlock:
        handle = open_beneath(parent_fd, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            mode = stat.S_IMODE(os.fstat(handle).st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                # Failing is fine: a capability may make up for the mode, and if not, opening says so.
                with contextlib.suppress(OSError):
                    os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)
        finally:
            os.close(handle)
    return open_beneath(parent_fd, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def walk(root_fd: int, *, unlock: bool = False) -> Generator[Visit, None, None]:
    """Walk the tree below an open directory, itself first and last; close the generator to free descriptors.

    The caller may remove what it is shown, and keeps owning `root_fd`. `unlock` is that of `open_directory`.

    Raises:
        OSError: a directory whose names did not fit into memory was moved away before all of them were seen.
    """
    root = os.fstat(root_fd)
    stack = [_Frame(root_fd, root.st_dev, root.st_ino, b".")]
    ancestors: list[bytes] = []
    held = stack[0].fill()
    try:
        yield Visit(Step.ENTER, root_fd, b".", ancestors, root_fd, root, stack[0].problem)
        while True:
            frame = stack[-1]
            if not frame.pending and not frame.listed:
                held += frame.fill()
            if frame.pending:
                frame.last = frame.pending.pop()
                held -= 1
                visit, child = _look(frame, frame.last, ancestors, root_fd, unlock)
                if child is not None:
                    if len(stack) > _MAX_OPEN:
                        stack[-_MAX_OPEN].close()
                    held += len(child.pending)
                    if held > _MAX_NAMES:
                        held -= sum(ancestor.drop() for ancestor in stack)
                    stack.append(child)
                yield visit
                if child is not None:
                    ancestors.append(child.name)
            elif len(stack) > 1:
                parent = stack[-2]
                parent.reopen_from(frame.fd)
                frame.close()
                stack.pop()
                ancestors.pop()
                problem = errno.ESTALE if parent.fd == -1 else None
                yield Visit(Step.LEAVE, parent.fd, frame.name, ancestors, problem=problem)
            else:
                yield Visit(Step.LEAVE, root_fd, b".", ancestors)
                return
    finally:
        for frame in stack[1:]:
            frame.close()


def _look(
    frame: _Frame, name: bytes, ancestors: list[bytes], root_fd: int, unlock: bool
) -> tuple[Visit, _Frame | None]:
    """Visit one name of a directory, and the frame to walk next where it is a directory that can be walked."""
    visit = Visit(Step.ENTRY, frame.fd, name, ancestors)
    if frame.fd == -1:
        visit.problem = errno.ESTALE
        return visit, None
    fd = -1
    try:
        visit.stat = os.lstat(name, dir_fd=frame.fd)
        if not stat.S_ISDIR(visit.stat.st_mode):
            return visit, None
        fd = open_directory(frame.fd, name, unlock=unlock)
        visit.stat = os.fstat(fd)
        if visit.stat.st_dev != frame.device:
            # On another mount it would not be open: a subvolume. What is removed from a snapshot is a copy.
            if unlock:
                make_writable(fd)
            elif is_snapshot_of(fd, root_fd):
                raise OSError(errno.EXDEV, "a snapshot of the volume around the directory")
        child = _Frame(fd, visit.stat.st_dev, visit.stat.st_ino, name)
        child.fill()
        if child.problem == errno.ENOENT:
            raise FileNotFoundError(errno.ENOENT, "removed while it was opened")
    except OSError as exc:
        if fd != -1:
            os.close(fd)
        visit.problem = exc.errno
        return visit, None
    visit.step, visit.fd, visit.problem = Step.ENTER, fd, child.problem
    return visit, child
