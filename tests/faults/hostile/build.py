"""Making the tree of a plan, relative to descriptors, so that depth and length of paths do not matter."""

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults.hostile import stage
from tests.faults.hostile.outside import Outside
from tests.faults.hostile.plan import Node

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NOBODY: Final = 0xFFFFFFFF
_ACL: Final = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 7, _NOBODY), (2, 4, 1234), (4, 4, _NOBODY), (16, 5, _NOBODY), (32, 0, _NOBODY))
)
"""Owner rwx, user 1234 r--, group r--, mask r-x, others nothing."""
_CAPABILITY: Final = struct.pack("<IIIII", 0x02000001, 0x2000, 0, 0, 0)
"""cap_net_raw, effective."""
_NOT_HERE: Final = (errno.EEXIST, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EFBIG, errno.ENAMETOOLONG)
"""What a file system says of something that it does not have; an immutable file takes no links."""

_VALUES: Final = {b"acl": _ACL, b"capability": _CAPABILITY}


@dataclass(slots=True)
class Hindrances:
    """What keeps a tree from being archived or removed, and how to take it away again."""

    mounts: list[tuple[int, bytes]] = field(default_factory=list)
    flagged: list[tuple[int, int]] = field(default_factory=list)

    def unmount(self) -> None:
        """Unmount everything inside the tree, the last first."""
        for parent_fd, name in reversed(self.mounts):
            stage.unmount(f"/proc/self/fd/{parent_fd}/{os.fsdecode(name)}", lazily=True)
            os.close(parent_fd)
        self.mounts.clear()

    def unflag(self) -> None:
        """Let everything be changed again."""
        for fd, flag in self.flagged:
            stage.set_flag(fd, flag, False)
            os.close(fd)
        self.flagged.clear()

    def close(self) -> None:
        """Take everything away, also where a test was interrupted."""
        self.unflag()
        self.unmount()


class Builder:
    """Makes nodes below an open directory; what hinders later is collected in `hindrances`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._files: list[tuple[int, bytes]] = []
        self._kept: list[int] = []
        self.hindrances = Hindrances()

    def build(self, root_fd: int, nodes: tuple[Node, ...]) -> None:
        """Make all nodes; one that this file system does not have is left out."""
        try:
            self._children(root_fd, nodes)
        finally:
            for fd in self._kept:
                os.close(fd)
            self._kept.clear()
            self._files.clear()

    def _children(self, fd: int, nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            try:
                self._make(fd, node)
            except OSError as exc:
                if exc.errno not in _NOT_HERE:
                    raise

    def _make(self, fd: int, node: Node) -> None:
        match node.kind:
            case "directory":
                os.mkdir(node.name, dir_fd=fd)
                with _opened(fd, node.name) as inner:
                    self._children(inner, node.children)
            case "chain":
                self._chain(fd, node)
            case "tmpfs" | "bind" | "bound file":
                self._mount(fd, node)
                return
            case "link":
                if self._files:
                    source_fd, source = self._files[node.size % len(self._files)]
                    os.link(source, node.name, src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
                return
            case "foreign":
                os.link(self._outside.foreign, node.name, dst_dir_fd=fd, follow_symlinks=False)
                return
            case "symlink":
                self._symlink(fd, node)
            case "fifo" | "block" | "character" | "socket":
                self._special(fd, node)
            case _:
                self._file(fd, node)
        self._describe(fd, node)

    def _symlink(self, fd: int, node: Node) -> None:
        target = node.target
        for mark, path in ((b"{secret}", self._outside.secret), (b"{directory}", self._outside.directory)):
            target = target.replace(mark, os.fsencode(path))
        os.symlink(target[:4000], node.name, dir_fd=fd)

    def _special(self, fd: int, node: Node) -> None:
        match node.kind:
            case "fifo":
                os.mkfifo(node.name, dir_fd=fd)
            case "socket":
                with socket.socket(socket.AF_UNIX) as listener:
                    # The address has room for 108 bytes only.
                    listener.bind(f"/proc/self/fd/{fd}/.s")
                os.rename(b".s", node.name, src_dir_fd=fd, dst_dir_fd=fd)
            case kind:
                mode = stat.S_IFBLK if kind == "block" else stat.S_IFCHR
                os.mknod(node.name, mode, os.makedev(node.size >> 8, node.size & 0xFF), dir_fd=fd)

    def _file(self, fd: int, node: Node) -> None:
        with open(os.open(node.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd), "wb") as file:
            if node.kind in ("sparse", "reserved"):
                file.truncate(node.size)
                if node.kind == "reserved":
                    # Space that is there and was never written: SEEK_DATA finds data in it, once it was read.
                    os.posix_fallocate(file.fileno(), 0, min(1 << 20, node.size // 2))
                for start, length in node.extents:
                    file.seek(start)
                    file.write(_content(node, min(length, node.size - start)))
            else:
                file.write(_content(node, node.size))
        if len(self._kept) < 32:
            self._kept.append(os.dup(fd))
            self._files.append((self._kept[-1], node.name))

    def _chain(self, fd: int, node: Node) -> None:
        inner = os.dup(fd)
        for _ in range(node.size):
            os.mkdir(node.name, dir_fd=inner)
            below = os.open(node.name, _DIRECTORY, dir_fd=inner)
            os.close(inner)
            inner = below
        self._children(inner, node.children)
        os.close(inner)

    def _mount(self, fd: int, node: Node) -> None:
        if node.kind == "bound file":
            os.close(os.open(node.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd))
        else:
            os.mkdir(node.name, dir_fd=fd)
        place = f"/proc/self/fd/{fd}/{os.fsdecode(node.name)}"
        if node.kind == "tmpfs":
            stage.mount_tmpfs(place)
            with _opened(fd, node.name) as inner:
                mounted = os.open(b"mounted", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=inner)
                os.write(mounted, self._outside.token)
                os.close(mounted)
        else:
            stage.bind(self._outside.directory if node.kind == "bind" else self._outside.secret, place)
        self.hindrances.mounts.append((os.dup(fd), node.name))

    def _describe(self, fd: int, node: Node) -> None:
        os.chown(node.name, *node.owner, dir_fd=fd, follow_symlinks=False)
        with contextlib.closing(_Handle(fd, node.name)) as handle:
            for name, value in node.xattrs:
                # Not every kind of file and file system has every attribute.
                with contextlib.suppress(OSError):
                    os.setxattr(handle.path, name, _VALUES.get(value, value))
            if node.kind != "symlink":
                os.chmod(handle.path, node.mode)
        with contextlib.suppress(OSError, OverflowError):
            os.utime(node.name, ns=(node.mtime_ns, node.mtime_ns), dir_fd=fd, follow_symlinks=False)
        if node.kind in ("immutable", "append only"):
            flag = stage.IMMUTABLE if node.kind == "immutable" else stage.APPEND_ONLY
            opened = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
            if stage.set_flag(opened, flag, True):
                self.hindrances.flagged.append((opened, flag))
            else:
                os.close(opened)


class _Handle:
    """A path to an entry itself, whatever it is."""

    def __init__(self, fd: int, name: bytes) -> None:
        self._fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
        self.path = f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        os.close(self._fd)


@contextlib.contextmanager
def _opened(fd: int, name: bytes) -> Iterator[int]:
    inner = os.open(name, _DIRECTORY, dir_fd=fd)
    try:
        yield inner
    finally:
        os.close(inner)


def _content(node: Node, size: int) -> bytes:
    """Content that differs between files and does not compress to nothing."""
    block = repr((node.name, node.mtime_ns, node.size)).encode()[:600]
    return (block * (size // len(block) + 1))[:size]
