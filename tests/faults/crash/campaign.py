"""Points of fault, and what trying one means: live until it, be hit, judge, live on to the end, judge again.

A point is a value that can be sent to another process. Power cuts, which need real file systems, are in `power`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.crash import events
from tests.faults.crash.calls import FLUSHES, OPENS, READS, RENAMES, Call
from tests.faults.crash.case import Case
from tests.faults.crash.events import Answer, Event, Kind, Moment
from tests.faults.crash.history import Violation
from tests.faults.crash.lives import LIVES
from tests.faults.crash.supervisor import Zygote
from tests.faults.images import BTRFS

ERRORS: Final = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES", "EMFILE")
READ_ERRORS: Final = ("EIO", "EACCES", "EMFILE")

LINKING: Final = "linking"
FULL: Final = "full"


@dataclass(frozen=True, slots=True)
class Point:
    """One fault at one call.

    `kind` is death, torn, error, second death (of the rerun, `after` the first at `at`), or cut (a power cut,
    `after` a death where that is not -1).
    """

    kind: str
    life: str
    at: int
    after: int = -1
    error: str = ""
    reading: bool = False
    """Count and hit calls that only read, too."""
    world: str = ""
    """Kind of volumes, out of `WORLDS`."""
    system: str = ""
    """Kind of the file system that loses power, or on which the runner makes subvolumes."""

    def __str__(self) -> str:
        words = [
            self.kind,
            self.error,
            f"on {self.system}" if self.system else "",
            f"at call {self.at} of {self.life!r}",
        ]
        words.append(f"after a death at {self.after}" if self.after >= 0 else "")
        words += ["counting reads"] * self.reading + [f"on {self.world} volumes"] * bool(self.world)
        return " ".join(word for word in words if word)


def scout(
    zygote: Zygote, place: Path, life: str, *, reading: bool = False, world: str = "", subvolumes: bool = False
) -> list[Call]:
    """The calls of an undisturbed life."""
    case = Case(place / "scout", LIVES[life], noreplace=world != LINKING, subvolumes=subvolumes)
    try:
        case.prepare(zygote)
        return case.live(zygote, WORLDS[world], reading=reading).calls
    finally:
        case.remove()


def undisturbed(zygote: Zygote, place: Path, life: str) -> list[Violation]:
    """What an undisturbed life breaks, GNU tar asked too."""
    case = Case(place / "undisturbed", LIVES[life])
    try:
        case.prepare(zygote)
        return case.converge(zygote, gnu_tar=True)
    finally:
        case.remove()


def deaths(life: str, calls: list[Call], *, world: str = "", system: str = "") -> Iterator[Point]:
    """A death before every call and one after the last."""
    for at in range(len(calls) + 1):
        yield Point("death", life, at, world=world, system=system)


def tears(life: str, calls: list[Call]) -> Iterator[Point]:
    """A death in the middle of every write."""
    for at, call in enumerate(calls):
        if call.name in ("write", "pwrite64"):
            yield Point("torn", life, at)


def second_deaths(life: str, calls: list[Call], step: int) -> Iterator[Point]:
    """Deaths of the rerun at every `step`-th call, after deaths at every `step`-th."""
    for first in range(0, len(calls), step):
        for second in range(first % step, len(calls), step):
            yield Point("second death", life, second, after=first)


def failures(life: str, calls: list[Call]) -> Iterator[Point]:
    """Every error at every call that changes disk."""
    for at in range(len(calls)):
        for error in ERRORS:
            yield Point("error", life, at, error=error)


def failures_of_spares(life: str, calls: list[Call]) -> Iterator[Point]:
    """Every error at every call that has to do with spare files; `calls` are those on full volumes."""
    for at, call in enumerate(calls):
        if any("/spares" in path for path in call.paths):
            for error in ERRORS:
                yield Point("error", life, at, error=error, world=FULL)


def read_failures(life: str, calls: list[Call]) -> Iterator[Point]:
    """Errors at calls that only read, and at openings."""
    for at, call in enumerate(calls):
        if call.name in READS or (call.name in OPENS and not call.changes):
            for error in READ_ERRORS if call.name in OPENS else READ_ERRORS[:1]:
                yield Point("error", life, at, error=error, reading=True)


def cuts(life: str, calls: list[Call], system: str) -> Iterator[Point]:
    """A power cut before every fsync and rename, and one after the last call."""
    for at, call in enumerate(calls):
        if call.name in FLUSHES or call.name in RENAMES:
            yield Point("cut", life, at, system=system)
    yield Point("cut", life, len(calls), system=system)


def cuts_after_deaths(life: str, calls: list[Call], system: str) -> Iterator[Point]:
    """A power cut when the rerun is over, after a death between something made and its fsync."""
    for at in range(1, len(calls)):
        if calls[at].name in FLUSHES and calls[at - 1].name not in FLUSHES:
            yield Point("cut", life, 1 << 20, after=at, system=system)


def attempt(point: Point, zygote: Zygote, place: Path) -> list[Violation]:
    """Try a point in a new directory below `place`, which is removed afterwards."""
    subvolumes = point.system == BTRFS
    case = Case(place / "case", LIVES[point.life], noreplace=point.world != LINKING, subvolumes=subvolumes)
    try:
        return _attempt(point, zygote, case)
    finally:
        case.remove()


def _attempt(point: Point, zygote: Zygote, case: Case) -> list[Violation]:
    world = WORLDS[point.world]
    case.prepare(zygote)
    found: list[Violation] = []
    if point.after >= 0:
        run = case.live(zygote, events.both(events.death(point.after), world))
        found += case.judge_calls(run) + case.judge()
    run = case.live(zygote, events.both(_event(point), world), reading=point.reading)
    found += case.judge_calls(run)
    if point.kind == "error":
        # The driver tries again in the same process, as the controller does.
        if not run.ended:
            found.append(Violation("P9", f"it went on failing after one error: {'; '.join(run.errors)}"))
        return found + case.judge(converged=run.ended)
    return found + case.judge() + case.converge(zygote, world)


def _event(point: Point) -> Event:
    if point.kind == "torn":
        return events.torn(point.at)
    if point.kind == "error":
        return events.failure(point.at, getattr(errno, point.error))
    return events.death(point.at)


def cannot_allocate(moment: Moment) -> Answer:
    """The world of a storage volume that is full from the latch on: no new file for the journal."""
    holder, name = os.path.split(moment.call.path)
    if moment.call.creates and name.endswith(".json.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if '"quarantine":{' in Path(holder, name.removeprefix(".").removesuffix(".tmp")).read_text():
                return Answer(Kind.FAIL, errno.ENOSPC)
    return events.LET


def cannot_noreplace(moment: Moment) -> Answer:
    """The world of file systems on which renameat2 knows no flags."""
    call = moment.call
    return Answer(Kind.FAIL, errno.EINVAL) if call.name == "renameat2" and call.flags else events.LET


WORLDS: Final[dict[str, Event]] = {"": events.undisturbed, LINKING: cannot_noreplace, FULL: cannot_allocate}
"""What volumes may be like: ordinary, as NFS, which gives files second names instead, or full."""
