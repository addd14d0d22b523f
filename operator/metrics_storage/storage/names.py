"""Which uids the names of runners have: an index beside the journal, so that no call for one name looks at all.

Below `.metrics-storage/names` a symbolic link for each name holds the uids of its lives. The journal stays the truth:
whoever follows a link reads the entry. That no life is missing here is said by one more link, `.journal`, which
holds when the journal's directory was last changed. It is taken away while a call works and written anew at its end,
so that a call that was killed, or another version that wrote to the journal, is noticed, and the index made anew.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from metrics_storage.engine import durable
from metrics_storage.engine.volume import Volume
from metrics_storage.model.identity import Identity

_DIRECTORY: Final = "names"
_STAMP: Final = ".journal"
_NAMELESS: Final = ".nameless"
_UNFINISHED: Final = "unfinished"


class Names:
    """The index of one storage volume; whoever changes it has the lock on the volume."""

    def __init__(self, volume: Volume) -> None:
        self._private_fd = volume.private_fd
        self.complete = False
        """Whether no life is missing; known between `begin` and `end`."""

    def begin(self) -> bool:
        """Begin to work on the volume. Returns whether something may be left from an earlier call."""
        stamp, _, unfinished = self._read(_STAMP).partition(" ")
        self.complete = stamp == self._journal_stamp()
        try:
            durable.make_directory(_DIRECTORY, self._private_fd, 0o700, like=self._private_fd)
            with durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                _unlink(_STAMP, fd)
        except OSError:
            self.complete = False
        return not self.complete or bool(unfinished)

    def rebuild(self, identities: Iterable[Identity], nameless: Iterable[str]) -> None:
        """Make the index of all lives. `nameless` are uids whose entry cannot be read now; any name may be theirs."""
        lives: dict[str, list[str]] = {}
        for identity in identities:
            lives.setdefault(identity.name, []).append(identity.uid)
        with self._changing() as fd:
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
            for name, uids in lives.items():
                _write(name, uids, fd)
            _write(_NAMELESS, list(nameless), fd)
            self.complete = True

    def end(self, *, finished: bool) -> None:
        """Say that the index is complete, and whether the work was finished."""
        if self.complete:
            with contextlib.suppress(OSError), durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                os.fsync(fd)  # Never the stamp without what it speaks of.
                os.symlink(f"{self._journal_stamp()} {'' if finished else _UNFINISHED}", _STAMP, dir_fd=fd)

    def uids(self, runner_name: str) -> list[str]:
        """The lives that may be of a name, as far as they are known here."""
        return [*self._read(runner_name).split(), *self._read(_NAMELESS).split()]

    def add(self, identity: Identity) -> None:
        """Give a name one more life."""
        with self._changing() as fd:
            _write(identity.name, [*self._read(identity.name).split(), identity.uid], fd)

    def remove(self, identity: Identity) -> None:
        """Forget a life that has no journal entry any more."""
        with self._changing() as fd:
            uids = self._read(identity.name).split()
            _write(identity.name, [uid for uid in uids if uid != identity.uid], fd)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """The directory of the index, which is not complete any more where a change fails, as on a full volume."""
        try:
            with durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                yield fd
        except OSError:
            self.complete = False

    def _read(self, name: str) -> str:
        """What a link holds; nothing where there is none."""
        try:
            with durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                return os.readlink(name, dir_fd=fd)
        except OSError:
            return ""

    def _journal_stamp(self) -> str:
        found = os.stat("journal", dir_fd=self._private_fd, follow_symlinks=False)
        return f"{found.st_ino}:{found.st_mtime_ns}"


def _write(name: str, uids: list[str], fd: int) -> None:
    _unlink(name, fd)
    if uids:
        os.symlink(" ".join(uids), name, dir_fd=fd)


def _unlink(name: str, fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)
