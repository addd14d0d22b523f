"""The directories that are being restored into: open descriptors from the target down to the innermost one.

Everything is made by one name in an open directory, and never over anything. Depth costs neither stack nor
descriptors nor long paths. While being filled a directory is 0700; what it was comes when it is left.
"""

import contextlib
import errno
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.restore.policy import RestoreOptions
from metrics_storage.engine.fs.durable import list_directory
from metrics_storage.engine.fs.syscalls import open_beneath
from metrics_storage.errors import ArchiveError

_MAX_OPEN: Final = 32
"""Directories that are open at once; those further up are opened again on the way back."""

_STAGING: Final = b"~links"
"""Beside the restored directory, whose name never contains `~`: short names for the sources of hard links."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW


@dataclass(slots=True)
class _Frame:
    """A directory being filled; `fd` is -1 while closed."""

    fd: int
    key: tuple[int, int]
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    xattrs: dict[bytes, bytes]


class RestoreTarget:
    """Makes entries below an open, empty directory. Use as a context manager, which closes what is open."""

    def __init__(self, target_fd: int, options: RestoreOptions) -> None:
        self._options = options
        self._frames = [_Frame(target_fd, _key(target_fd), 0, (0, 0), 0, {})]
        self._staging = -1
        self.lost_xattrs = 0
        """Extended attributes that the file system did not take."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for frame in self._frames[1:]:
            _close(frame)
        if self._staging != -1:
            target_fd = self._frames[0].fd
            for name in list_directory(self._staging):
                os.unlink(name, dir_fd=self._staging)
            os.close(self._staging)
            os.rmdir(_STAGING, dir_fd=target_fd)

    def leave_to(self, depth: int) -> None:
        """Finish directories until the next entry may be at this depth.

        Raises:
            ArchiveError: somebody moved a directory while it was being filled.
        """
        while len(self._frames) > depth + 1:
            parent, frame = self._frames[-2:]
            if parent.fd == -1:
                parent.fd = os.open(b"..", _DIRECTORY, dir_fd=frame.fd)
                if _key(parent.fd) != parent.key:
                    raise ArchiveError("a restored directory was moved away meanwhile; what is restored is incomplete")
            self._describe(frame.fd, frame.mode, frame.owner, frame.mtime_ns, frame.xattrs)
            _close(frame)
            self._frames.pop()

    def enter(self, entry: Entry, name: bytes) -> None:
        """Make a directory and go down into it."""
        parent = self._frames[-1].fd
        os.mkdir(name, 0o700, dir_fd=parent)
        fd = open_beneath(parent, name, _DIRECTORY)
        owner = (entry.uid, entry.gid)
        options = self._options
        self._frames.append(
            _Frame(fd, _key(fd), options.mode(entry), owner, entry.mtime_ns, dict(options.xattrs(entry)))
        )
        if len(self._frames) > _MAX_OPEN:
            # Never the target itself, which is the caller's: it is the first.
            _close(self._frames[-_MAX_OPEN])

    def create(self, name: bytes) -> int:
        """Descriptor of a new, empty file for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(name, flags, 0o600, dir_fd=self._frames[-1].fd)

    def discard(self, name: bytes) -> None:
        """Remove a file that `create` made and that cannot be completed."""
        os.unlink(name, dir_fd=self._frames[-1].fd)

    def finish(self, fd: int, entry: Entry) -> None:
        """Give a file that is complete its owner, extended attributes, mode and time."""
        options = self._options
        self._describe(fd, options.mode(entry), (entry.uid, entry.gid), entry.mtime_ns, options.xattrs(entry))

    def offer(self, entry: Entry, name: bytes) -> None:
        """Keep a file at hand for hard links to it.

        Raises:
            OSError: the file system has no hard links.
        """
        if self._staging == -1:
            target_fd = self._frames[0].fd
            os.mkdir(_STAGING, 0o700, dir_fd=target_fd)
            self._staging = open_beneath(target_fd, _STAGING, _DIRECTORY)
        parent = self._frames[-1].fd
        os.link(name, b"%d" % entry.number, src_dir_fd=parent, dst_dir_fd=self._staging, follow_symlinks=False)

    def link(self, number: int, name: bytes) -> None:
        """Make a hard link to the file that was offered under this number."""
        parent = self._frames[-1].fd
        os.link(b"%d" % number, name, src_dir_fd=self._staging, dst_dir_fd=parent, follow_symlinks=False)

    def symlink(self, entry: Entry, name: bytes) -> None:
        """Make a symbolic link."""
        parent = self._frames[-1].fd
        os.symlink(entry.target or b"", name, dir_fd=parent)
        if self._options.same_owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        handle = open_beneath(parent, name, _HANDLE)
        try:
            self._set_xattrs(f"/proc/self/fd/{handle}", self._options.xattrs(entry))
        finally:
            os.close(handle)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def fifo(self, entry: Entry, name: bytes) -> None:
        """Make a FIFO, without ever opening it."""
        parent = self._frames[-1].fd
        os.mkfifo(name, 0o600, dir_fd=parent)
        handle = open_beneath(parent, name, _HANDLE)
        try:
            options, owner = self._options, (entry.uid, entry.gid)
            where = f"/proc/self/fd/{handle}"
            self._describe(where, options.mode(entry), owner, entry.mtime_ns, options.xattrs(entry))
        finally:
            os.close(handle)

    def _describe(
        self, where: int | str, mode: int, owner: tuple[int, int], mtime_ns: int, xattrs: dict[bytes, bytes]
    ) -> None:
        if self._options.same_owner:
            os.chown(where, *owner)
        # Before the mode, which may forbid it.
        self._set_xattrs(where, xattrs)
        os.chmod(where, mode)
        os.utime(where, ns=(mtime_ns, mtime_ns))

    def _set_xattrs(self, where: int | str, xattrs: dict[bytes, bytes]) -> None:
        for name, value in xattrs.items():
            try:
                os.setxattr(where, name, value)
            except (OSError, ValueError) as exc:
                if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
                self.lost_xattrs += 1


def _key(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _close(frame: _Frame) -> None:
    if frame.fd != -1:
        with contextlib.suppress(OSError):
            os.close(frame.fd)
        frame.fd = -1
