"""Reading one entry of a directory that may be hostile: what it is, and its content.

The one place where anything of a source is opened. Nothing is opened for reading that was not first held by an
`O_PATH` descriptor and found to be the regular file that the walk saw; nothing is executed, followed or
changed, and access times are kept where the kernel allows. Writing and comparing both read through here.
"""

import errno
import os
import stat
from array import array
from typing import Final, Protocol

from metrics_storage.engine.archives.format.content import PLAIN_MAX, PLAIN_TOTAL, Content
from metrics_storage.engine.archives.format.entry import MEMBER_TYPES, Entry
from metrics_storage.engine.archives.format.paths import LinkTable
from metrics_storage.engine.archives.format.sparse import data_extents, encode_map
from metrics_storage.engine.archives.format.streams import CHUNK
from metrics_storage.engine.archives.format.xattrs import read_xattrs
from metrics_storage.engine.fs.subvolumes import is_stub
from metrics_storage.engine.fs.syscalls import open_beneath
from metrics_storage.engine.fs.walk import Visit

_TYPES: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "character",
}
_PROBLEMS: Final = {errno.ENOENT: "vanished", errno.EXDEV: "other-mount"}
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW
_ZEROS: Final = bytes(CHUNK)
_PAGE: Final = 4096
"""What is left out around a byte that cannot be read; more in a row where much cannot be."""


class Sink(Protocol):
    """What takes the stored entries of a directory, in order."""

    def begin(self, entry: Entry) -> None:
        """A stored entry, complete but for its digest and final status; its payload follows."""

    def write(self, data: bytes) -> None:
        """Some of the payload; together exactly `entry.payload` bytes."""


class Source:
    """Reads the entries of one directory in the order of the walk and hands what is stored to a sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._links = LinkTable()
        self._entries = 0
        self._plain = PLAIN_TOTAL
        """Bytes of files with holes that may still have a plain digest."""

    def read(self, visit: Visit, path: bytes) -> Entry:
        """Read what the walk stands at; what fails is told in the entry.

        Raises:
            OSError: only from the sink.
        """
        entry = Entry(path, visit.depth, number=self._entries)
        self._entries += 1
        seen = visit.stat
        if seen is not None:
            _describe(entry, seen)
        listed_in_part = visit.fd != -1 and visit.problem is not None
        if seen is None or (visit.problem is not None and not listed_in_part):
            return _failed(entry, visit.problem or errno.ENOENT)
        try:
            handle = visit.fd if visit.fd != -1 else open_beneath(visit.parent_fd, visit.name, _HANDLE)
        except OSError as exc:
            return _failed(entry, exc.errno)
        try:
            found = os.fstat(handle)
            if _identity(found) != _identity(seen):
                entry.status = "changed"
                return entry
            _describe(entry, found)
            if is_stub(visit.parent_fd, found):
                entry.mtime_ns = 0
            if listed_in_part:
                _failed(entry, visit.problem)
            if entry.type == "file":
                self._read_file(entry, handle, found, visit.parent_fd)
            else:
                self._read_other(entry, handle, visit.fd)
        finally:
            if handle != visit.fd:
                os.close(handle)
        return entry

    def _read_other(self, entry: Entry, handle: int, directory_fd: int) -> None:
        read_xattrs(entry, f"/proc/self/fd/{handle}", directory_fd, directory_fd)
        if entry.type == "symlink":
            try:
                entry.target = os.readlink(b"", dir_fd=handle)
            except OSError as exc:
                _failed(entry, exc.errno)
                return
        if entry.type in MEMBER_TYPES:
            entry.stored = True
            self._sink.begin(entry)

    def _read_file(self, entry: Entry, handle: int, found: os.stat_result, parent_fd: int) -> None:
        key = found.st_dev << 64 | found.st_ino
        link = self._links.find(key) if found.st_nlink > 1 else None
        if link is not None:
            # Content and attributes stand at the first link: a thousand names of a file cost no more than names.
            entry.link_number, entry.link = link
            entry.stored = True
            self._sink.begin(entry)
            return
        try:
            fd = _open_content(handle)
        except OSError as exc:
            _failed(entry, exc.errno)
            read_xattrs(entry, f"/proc/self/fd/{handle}")
            return
        try:
            read_xattrs(entry, fd, fd, parent_fd)
            try:
                extents = _extents(fd, found)
            except OSError as exc:
                _failed(entry, exc.errno)
                return
            self._store_content(entry, fd, extents)
            after = os.fstat(fd)
            unchanged = (found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
                after.st_size,
                after.st_mtime_ns,
                after.st_ctime_ns,
            )
            if not unchanged and entry.status == "ok":
                entry.status = "changed"
        finally:
            os.close(fd)
        if entry.is_link_source:
            self._links.add(key, entry.number, entry.path)

    def _store_content(self, entry: Entry, fd: int, extents: "array[int] | None") -> None:
        """Hand exactly the announced number of bytes to the sink; what cannot be read becomes zeros and a status.

        A read that fails is tried again in small, so that all that can be read around the place is.
        """
        sparse_map = b"" if extents is None else encode_map(extents, entry.size)
        pairs = array("q", (0, entry.size)) if extents is None else extents
        entry.sparse = extents is not None
        entry.payload = len(sparse_map) + sum(pairs[1::2])
        entry.stored = True
        self._sink.begin(entry)
        self._sink.write(sparse_map)
        content = Content(plain=self._has_plain_digest(entry))
        reader = _Reader(entry, fd)
        offset = 0
        for start, length in zip(pairs[::2], pairs[1::2], strict=True):
            content.hole(start - offset)
            offset, end = start, start + length
            while offset < end:
                chunk = reader.read(offset, end - offset)
                offset += len(chunk)
                content.data(chunk)
                self._sink.write(chunk)
        content.hole(entry.size - offset)
        content.finish()
        entry.sha256, entry.blocks_sha256 = content.sha256, content.blocks_sha256

    def _has_plain_digest(self, entry: Entry) -> bool:
        """Whether there is time to hash the holes of a file, too."""
        if not entry.sparse:
            return True
        if entry.size > min(PLAIN_MAX, self._plain):
            return False
        self._plain -= entry.size
        return True


class _Reader:
    """Reads a file from its beginning to its end; what cannot be read is zeros, and told in its entry."""

    def __init__(self, entry: Entry, fd: int) -> None:
        self._entry = entry
        self._fd = fd
        self._size, self._left_out = CHUNK, _PAGE

    def read(self, offset: int, wanted: int) -> bytes:
        """Up to so many bytes, at least one."""
        while True:
            size = min(self._size, wanted)
            try:
                chunk = os.pread(self._fd, size, offset)
            except OSError as exc:
                _failed(self._entry, exc.errno)
                if size > _PAGE:
                    self._size = _PAGE
                    continue
                left_out, self._left_out = self._left_out, min(2 * self._left_out, CHUNK)
                return _ZEROS[: min(left_out, wanted)]
            self._size, self._left_out = min(2 * self._size, CHUNK), _PAGE
            if not chunk and self._entry.status == "ok":
                self._entry.status = "changed"
            return chunk or _ZEROS[:size]


def _extents(fd: int, found: os.stat_result) -> "array[int] | None":
    """The data of a file with holes; None for a file without."""
    if found.st_blocks * 512 >= found.st_size:
        return None
    extents = data_extents(fd, found.st_size)
    return None if list(extents[:2]) == [0, found.st_size] else extents


def _open_content(handle: int) -> int:
    """Open for reading what a handle refers to: the very inode, whatever its name means by now."""
    path = f"/proc/self/fd/{handle}"
    # Not blocking: nothing that takes its time to open (a lease, say) may hold the archive up.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def _describe(entry: Entry, found: os.stat_result) -> None:
    entry.type = _TYPES.get(stat.S_IFMT(found.st_mode), "unknown")
    entry.mode = stat.S_IMODE(found.st_mode)
    entry.uid, entry.gid = found.st_uid, found.st_gid
    entry.mtime_ns = found.st_mtime_ns
    # What a directory has for a size depends on its history and tells nothing about its content.
    entry.size = found.st_size if entry.type in ("file", "symlink") else 0
    entry.nlink, entry.inode = found.st_nlink, found.st_ino
    if entry.type in ("block", "character"):
        entry.device = os.major(found.st_rdev), os.minor(found.st_rdev)


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)


def _failed(entry: Entry, code: int | None) -> Entry:
    entry.status = _PROBLEMS.get(code or 0, "unreadable")
    entry.error = errno.errorcode.get(code or 0, str(code))
    return entry
