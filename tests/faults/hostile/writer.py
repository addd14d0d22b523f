"""A process that goes on writing into a storage directory while it is archived, through descriptors it keeps.

It does what a runner could: grows, shrinks, rewrites and replaces files, gives them their old times back, makes
and removes links, FIFOs and directories, and moves things about.
"""

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Callable
from random import Random
from typing import Final

from tests.faults.hostile import stage
from tests.faults.hostile.outside import Outside

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_SHARED: Final = struct.Struct("qqd")
NAMES: Final = (b"metrics.json", b"w0", b"w1", b"w2", b"w3", b"sub")
_DIRECTORIES: Final = 6


class Writer:
    """Starts with the object and ends with `stop`."""

    def __init__(self, root_fd: int, seed: int, outside: Outside, mounted: frozenset[bytes] = frozenset()) -> None:
        """`mounted` are names in the directory that are not the runner's to write below."""
        self._shared = mmap.mmap(-1, _SHARED.size)
        self._outside = outside
        self._mounted = mounted
        for name in NAMES[:3]:
            with contextlib.suppress(OSError):
                _write(root_fd, name, os.O_CREAT | os.O_EXCL, Random(seed).randbytes(400_000))
        self._pid = os.fork()
        if self._pid == 0:
            try:
                stage.die_with_parent()
                self._write_on(root_fd, Random(seed))
            finally:
                os._exit(0)
        while not self.acts:
            time.sleep(0.0005)

    @property
    def acts(self) -> int:
        """How often something was done so far."""
        return int(_SHARED.unpack(self._shared[:])[1])

    @property
    def latest(self) -> float:
        """When the last act ended, on the monotonic clock in seconds."""
        return float(_SHARED.unpack(self._shared[:])[2])

    def stop(self) -> None:
        """Let the act in hand end, and then no more."""
        if self._pid:
            self._shared[:8] = struct.pack("q", 1)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _write_on(self, root_fd: int, random: Random) -> None:
        fds = [root_fd]
        with os.scandir(root_fd) as entries:
            names = [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in sorted(set(names) - self._mounted)[:_DIRECTORIES]:
            with contextlib.suppress(OSError):
                fds.append(os.open(name, _DIRECTORY, dir_fd=root_fd))
        with contextlib.suppress(OSError):
            kept = os.open(NAMES[0], os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=root_fd)
            fds.append(-kept)
        acts = 0
        parent = os.getppid()
        while not self._shared[0] and os.getppid() == parent:
            with contextlib.suppress(OSError):
                self._act(random, random.choice(fds), root_fd)
            acts += 1
            self._shared[8:24] = struct.pack("qd", acts, time.monotonic())
            if random.randrange(3) == 0:
                time.sleep(random.random() * 0.002)

    def _act(self, random: Random, fd: int, root_fd: int) -> None:
        if fd < 0:
            os.pwrite(-fd, random.randbytes(100), random.randrange(400_000))
            return
        name, other = random.choice(NAMES), random.choice(NAMES)
        acts: tuple[Callable[[], object], ...] = (
            lambda: _write(fd, name, os.O_CREAT | os.O_APPEND, random.randbytes(10_000)),
            lambda: _write(fd, name, os.O_CREAT | os.O_TRUNC, random.randbytes(100)),
            lambda: self._rewrite_in_secret(fd, name, random),
            lambda: self._rewrite_in_secret(fd, name, random),
            lambda: os.unlink(name, dir_fd=fd),
            lambda: os.rename(name, other, src_dir_fd=fd, dst_dir_fd=root_fd),
            lambda: os.symlink(self._outside.secret, name, dir_fd=fd),
            lambda: os.symlink(self._outside.directory, name, dir_fd=fd),
            lambda: os.mkfifo(name, dir_fd=fd),
            lambda: os.mkdir(name, dir_fd=fd),
            lambda: os.rmdir(name, dir_fd=fd),
            lambda: stage.exchange(fd, name, root_fd, other),
            lambda: os.link(name, other, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False),
        )
        random.choice(acts)()

    def _rewrite_in_secret(self, fd: int, name: bytes, random: Random) -> None:
        was = os.lstat(name, dir_fd=fd)
        _write(fd, name, 0, random.randbytes(min(was.st_size, 1000)))
        os.utime(name, ns=(was.st_atime_ns, was.st_mtime_ns), dir_fd=fd, follow_symlinks=False)


def _write(fd: int, name: bytes, flags: int, data: bytes) -> None:
    opened = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o600, dir_fd=fd)
    try:
        os.write(opened, data)
    finally:
        os.close(opened)
