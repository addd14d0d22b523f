"""The race: names that change from directory to link and back while the engine walks over them.

A process of its own exchanges names (`renameat2` with `RENAME_EXCHANGE`), through a descriptor that no rename of
the storage directory takes away from it. The links lead to canaries that report every access.
"""

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from metrics_storage.errors import ArchiveError, MetricsStorageError, RemovalError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.faults.evidence import against_facts
from tests.faults.evidence.reading import manifest_of
from tests.faults.hostile import stage
from tests.faults.hostile.field import NAME, NAMESPACE, REQUESTED, Field
from tests.faults.hostile.outside import Outside

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GROUPS: Final = 12
_PAIRS: Final = ((b"directory", b"link"), (b"file", b"to-file"), (b"plain", b"pipe"))
_MEASURES: Final = 5
_ATTEMPTS: Final = 2
_DEADLINE: Final = 600


@dataclass(slots=True)
class Race:
    """What was tried: exchanges while something walked, walks that were raced, and violations."""

    reading: int = 0
    removing: int = 0
    walks: int = 0
    removals: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exchanges(self) -> int:
        """All exchanges."""
        return self.reading + self.removing


class Swapper:
    """A process that exchanges names in a directory from beginning to end of a `with` block."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._shared = mmap.mmap(-1, 16)
        self._pid = 0

    @property
    def exchanges(self) -> int:
        """How many exchanges succeeded so far."""
        return int(struct.unpack("q", self._shared[8:])[0])

    def __enter__(self) -> "Swapper":
        self._pid = os.fork()
        if self._pid == 0:
            try:
                stage.die_with_parent()
                self._swap()
            finally:
                os._exit(0)
        while not self.exchanges:
            time.sleep(0.0002)
        return self

    def __exit__(self, *_: object) -> None:
        self._shared[0:1] = b"\1"
        os.waitpid(self._pid, 0)

    def _swap(self) -> None:
        places = [self._root_fd]
        for number in range(_GROUPS):
            places.append(os.open(b"%02d" % number, _DIRECTORY, dir_fd=self._root_fd))
        done = 0
        while not self._shared[0]:
            for place in places:
                for first, second in _PAIRS:
                    done += stage.exchange(place, first, place, second)
            self._shared[8:16] = struct.pack("q", done)


def make_racetrack(root_fd: int, outside: Outside) -> None:
    """Fill a directory with names that can be exchanged, at its top and in directories below."""
    _make_pairs(root_fd, outside)
    for number in range(_GROUPS):
        os.mkdir(b"%02d" % number, dir_fd=root_fd)
        inner = os.open(b"%02d" % number, _DIRECTORY, dir_fd=root_fd)
        _make_pairs(inner, outside)
        os.close(inner)


def run_race(field_: Field, exchanges: int, say: Callable[[str], None] = print) -> Race:
    """Race at least so many exchanges, half against what reads and half against what removes."""
    race = Race()
    end = time.monotonic() + _DEADLINE
    while race.reading < exchanges // 2 or race.removing < exchanges // 2:
        if time.monotonic() > end:
            race.problems.append(f"only {race.exchanges:,} exchanges in {_DEADLINE} s")
            break
        for lap, needed in ((_read, race.reading < exchanges // 2), (_remove, race.removing < exchanges // 2)):
            if needed:
                try:
                    with _directory(field_) as (identity, root_fd):
                        lap(race, field_, identity, root_fd)
                except MetricsStorageError as exc:
                    race.problems.append(f"{type(exc).__name__}: {exc}")
        race.problems += field_.outside.problems()
        if race.problems:
            break
    say(f"{race.exchanges:,} exchanges against {race.walks:,} walks and {race.removals:,} removals")
    return race


def _read(race: Race, field_: Field, identity: Identity, root_fd: int) -> None:
    """Measure, snapshot and archive beside the swapper; without it, archive and remove."""
    engine = field_.engine
    with Swapper(root_fd) as swapper:
        for _ in range(_MEASURES):
            engine.measure(identity)
        engine.latch(identity, "race", REQUESTED)
        engine.snapshot(identity)
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(ArchiveError):
                engine.archive(identity)
    race.reading += swapper.exchanges
    race.walks += _MEASURES + 2 + 2 * _ATTEMPTS
    if engine.archive(identity).phase is not Phase.VERIFIED:
        race.problems.append("is not archived, although it is quiet")
    archives = list((field_.root / "quarantine" / NAMESPACE).glob(f"*{identity.uid}*.tar.gz"))
    engine.remove(identity)
    engine.forget(identity.uid)
    for archive in archives:
        found = against_facts.read(archive, field_.forbidden)
        race.problems += [f"{archive.name}: {text}" for text in found.problems]
        archive.unlink()
        manifest_of(archive).unlink()


def _remove(race: Race, field_: Field, identity: Identity, root_fd: int) -> None:
    """Remove beside the swapper, several times if something is left; at the end without it."""
    with Swapper(root_fd) as swapper:
        for _ in range(_ATTEMPTS):
            race.removals += 1
            try:
                field_.engine.remove(identity)
                break
            except RemovalError:
                continue
    race.removing += swapper.exchanges
    if field_.engine.remove(identity).phase is not Phase.GONE:
        race.problems.append("is not gone, although it is quiet")
    field_.engine.forget(identity.uid)


@contextlib.contextmanager
def _directory(field_: Field) -> Iterator[tuple[Identity, int]]:
    identity = Identity(NAMESPACE, NAME, Uid.new())
    field_.engine.ensure(identity, StorageSpec(owner="1000:1000"))
    root_fd = os.open(field_.root / "storage" / NAMESPACE / identity.directory_name, _DIRECTORY)
    try:
        make_racetrack(root_fd, field_.outside)
        yield identity, root_fd
    finally:
        os.close(root_fd)


def _make_pairs(fd: int, outside: Outside) -> None:
    os.mkdir(b"directory", dir_fd=fd)
    inner = os.open(b"directory", _DIRECTORY, dir_fd=fd)
    for name in (b"inside", b"other"):
        _make_file(inner, name)
    os.mkdir(b"deeper", dir_fd=inner)
    os.close(inner)
    os.symlink(outside.directory, b"link", dir_fd=fd)
    _make_file(fd, b"file")
    os.symlink(outside.secret, b"to-file", dir_fd=fd)
    _make_file(fd, b"plain")
    os.mkfifo(b"pipe", dir_fd=fd)


def _make_file(fd: int, name: bytes) -> None:
    opened = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(opened, b"the runner's own\n")
    os.close(opened)
