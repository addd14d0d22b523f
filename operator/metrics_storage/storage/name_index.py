"""Which uids the names of runners have: an index beside the journal, so that no call for one name looks at all.

Below `.metrics-storage/names` a symbolic link for each name holds the uids of its lives. The journal stays the truth:
whoever follows a link reads the entry. That no life is missing here is said by one more link, `.journal`, which
holds when the journal's directory was last changed. It is taken away while a call works and written anew at its end,
so that a call that was killed, or another version that wrote to the journal, is noticed, and the index made anew.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Final

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.model.identity import Identity, Uid

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
        self.complete = stamp == self.journal_stamp()
        self._change(lambda fd: _unlink(_STAMP, fd))
        return not self.complete or bool(unfinished)

    def rebuild(self, identities: Iterable[Identity], nameless: Iterable[Uid]) -> None:
        """Make the index of all lives. `nameless` are uids whose entry cannot be read now; any name may be theirs."""
        with contextlib.suppress(OSError):
            durable.make_directory(_DIRECTORY, self._private_fd, 0o700, like=self._private_fd)
        lives: dict[str, list[Uid]] = {}
        for identity in identities:
            lives.setdefault(identity.name, []).append(identity.uid)

        def write_all(fd: int) -> None:
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
            for name, uids in lives.items():
                _write(name, uids, fd)
            _write(_NAMELESS, list(nameless), fd)

        self.complete = True
        self._change(write_all)

    def end(self, *, unfinished: bool) -> None:
        """Say that the index is complete, and whether something may be left to finish."""
        if self.complete:
            with contextlib.suppress(OSError), durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                os.fsync(fd)  # Never the stamp without what it speaks of.
                os.symlink(f"{self.journal_stamp()} {_UNFINISHED if unfinished else ''}", _STAMP, dir_fd=fd)

    def uids(self, runner_name: str) -> list[Uid]:
        """The lives that may be of a name, as far as they are known here."""
        return [*_parse(self._read(runner_name)), *_parse(self._read(_NAMELESS))]

    def add(self, identity: Identity) -> None:
        """Give a name one more life."""
        self._change(lambda fd: _write(identity.name, [*_uids(identity.name, fd), identity.uid], fd))

    def remove(self, identity: Identity) -> None:
        """Forget a life that has no journal entry any more."""
        self._change(
            lambda fd: _write(identity.name, [uid for uid in _uids(identity.name, fd) if uid != identity.uid], fd)
        )

    def _change(self, do: Callable[[int], None]) -> None:
        """Do something in the directory of the index, which is not complete any more where that fails."""
        try:
            with durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                do(fd)
        except OSError:
            self.complete = False

    def _read(self, name: str) -> str:
        """What a link holds; nothing where there is none."""
        try:
            with durable.opened_directory(_DIRECTORY, self._private_fd) as fd:
                return os.readlink(name, dir_fd=fd)
        except OSError:
            return ""

    def journal_stamp(self) -> str:
        """What changes with every entry of the journal that is written or removed."""
        found = os.stat("journal", dir_fd=self._private_fd, follow_symlinks=False)
        return f"{found.st_ino}:{found.st_mtime_ns}"


def _uids(name: str, fd: int) -> list[Uid]:
    try:
        return _parse(os.readlink(name, dir_fd=fd))
    except FileNotFoundError:
        return []


def _parse(text: str) -> list[Uid]:
    """The uids that a link holds; whatever else it may hold is dropped."""
    return [uid for uid in map(Uid.parse, text.split()) if uid is not None]


def _write(name: str, uids: list[Uid], fd: int) -> None:
    _unlink(name, fd)
    if uids:
        os.symlink(" ".join(uids), name, dir_fd=fd)


def _unlink(name: str, fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)
