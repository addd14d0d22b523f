"""What lies outside of a storage directory and is nobody's business: canaries, and a watch that sees every access.

The engine keeps times of access where it can, so these prove nothing; inotify reports opening and reading all the
same, and every change. Content is unique and easy to find in an archive.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_ALL_EVENTS: Final = 0xFFF
_EVENT: Final = struct.Struct("iIII")
_NAMES: Final = {
    0x1: "read", 0x2: "modified", 0x4: "changed in attributes", 0x8: "closed after writing", 0x10: "closed",
    0x20: "opened", 0x40: "moved from", 0x80: "moved to", 0x100: "created in", 0x200: "deleted from",
    0x400: "deleted", 0x800: "moved", 0x4000: "overrun with events",
}  # fmt: skip

Facts = tuple[int, ...]


class Watch:
    """Says what was done to files and directories since it was last asked."""

    def __init__(self, paths: list[Path]) -> None:
        self._fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._paths = {}
        for path in paths:
            number = _libc.inotify_add_watch(self._fd, os.fsencode(path), _ALL_EVENTS)
            if number < 0:
                raise OSError(ctypes.get_errno(), f"cannot watch {path}")
            self._paths[number] = path

    def events(self) -> list[str]:
        """What happened, each thing once."""
        return sorted(set(self._events()))

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)

    def _events(self) -> Iterator[str]:
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            while data:
                number, mask, _, length = _EVENT.unpack_from(data)
                path = self._paths.get(number, "a watched file")
                for bit, name in _NAMES.items():
                    if mask & bit:
                        yield f"{path} was {name}"
                data = data[_EVENT.size + length :]


class Outside:
    """A secret file, a secret directory and a file to link to, below a new directory."""

    def __init__(self, root: Path, token: str) -> None:
        self.root = root
        self.token = f"canary-{token}".encode()
        """Never in any archive. What is hard-linked into a storage directory is in it, and has other content."""
        self.secret = root / "secret"
        self.directory = root / "directory"
        self.inside = self.directory / "inside"
        self.foreign = root / "foreign"
        self.directory.mkdir(parents=True)
        self.secret.write_bytes(self.token + b" alone\n")
        self.inside.write_bytes(self.token + b" inside\n")
        self.foreign.write_bytes(b"a foreign inode, owned by somebody else\n")
        os.setxattr(self.foreign, "trusted.mark", b"kept")
        self.foreign.chmod(0o640)
        os.chown(self.foreign, 4242, 4243)
        for path in (self.secret, self.inside, self.directory):
            path.chmod(0o700)
            os.chown(path, 4242, 4243)
        self._watched = [self.secret, self.inside, self.directory]
        self._were = [self._facts(path) for path in self._watched]
        self._foreign = self._facts(self.foreign)
        self._watch = Watch(self._watched)

    def problems(self) -> list[str]:
        """What was read or changed since the last time, and what is not as it was at the beginning."""
        found = self._watch.events()
        for path, was in zip(self._watched, self._were, strict=True):
            if (now := self._facts(path)) != was:
                found.append(f"{path} is {now}, was {was}")
        if not self.foreign.exists():
            return [*found, f"{self.foreign} is gone"]
        content = self.foreign.read_bytes(), os.getxattr(self.foreign, "trusted.mark")
        if self._facts(self.foreign) != self._foreign or content != (
            b"a foreign inode, owned by somebody else\n",
            b"kept",
        ):
            found.append(f"{self.foreign} is {self._facts(self.foreign)}, was {self._foreign}")
        return found

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def _facts(self, path: Path) -> Facts:
        """What is known of an inode without opening it; nothing where it is gone."""
        if not os.path.lexists(path):
            return ()
        found = path.lstat()
        # The time of change of a foreign inode moves with its links; those who linked it remove these, too.
        return (found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_size,
                found.st_mtime_ns, 0 if path == self.foreign else found.st_ctime_ns)  # fmt: skip
