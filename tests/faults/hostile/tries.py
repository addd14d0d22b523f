"""Tries that a worker makes with hostile directories, each in the same file systems of its own."""

import contextlib
import faulthandler
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Final

from tests.faults.hostile import stage, volumes
from tests.faults.hostile.bulk import Bulk, holes, levels, many_files, names, run_bulk
from tests.faults.hostile.cases import CASES, run_case
from tests.faults.hostile.field import Field
from tests.faults.hostile.life import Outcome, live_plan
from tests.faults.hostile.plan import Plan, draw_plan, smaller
from tests.faults.hostile.race import run_race
from tests.faults.hostile.sabotage import sabotage

TREES: Final = "hostile trees"
CASES_KIND: Final = "hostile named cases"
RACED: Final = "walks and removals raced"
STEPS: Final = "steps without their volume"

_TIMEOUT: Final = 120
"""Seconds that one tree or one case may take; most take less than a tenth of one, on a busy machine a few."""

_LONG_TIMEOUT: Final = 3600
_SHRINKING: Final = 30
"""Seconds for looking for a smaller tree with the same trouble."""

_BULKS: Final[dict[str, Callable[[int], Bulk]]] = {
    "files": lambda size: many_files(size, flat=True),
    "spread files": lambda size: many_files(size, flat=False),
    "levels": levels,
    "holes": holes,
    "names": names,
}
_VOLUMES: Final = {"guards": volumes.run_guards, "interruptions": volumes.run_interruptions, "full": volumes.run_full}

_numbers = itertools.count(1)


@dataclass(slots=True)
class Result:
    """How much was tried of a kind, and what was wrong."""

    kind: str
    tried: int = 1
    problems: list[str] = field(default_factory=list)
    entries: int = 0
    terms: list[str] = field(default_factory=list)
    """What became of a tree."""
    seconds: float = 0
    exchanges: int = 0
    """Of names, while walks and removals were raced."""
    measured: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A try by its name, as a function of this module and what that is given."""

    name: str
    do: Callable[..., Result]
    arguments: tuple[Any, ...]


def prepare(*sabotages: str) -> None:
    """Begin as a worker, on an engine that is broken so."""
    stage.enter()
    for name in sabotages:
        sabotage(name)


def attempt(task: Task) -> Result:
    """Do it, and say its name with what was wrong."""
    result = task.do(*task.arguments)
    if result.problems:
        result.problems = [f"{task.name}: {'; '.join(result.problems[:5])}"]
    return result


@cache
def file_systems() -> tuple[str, ...]:
    """The kinds that can be made here."""
    return tuple(kind for kind in stage.FILE_SYSTEMS if _has(kind))


def try_tree(seed: int) -> Result:
    """A tree from the generator; one with trouble is made as small as it can be."""
    plan = draw_plan(Random(seed), file_systems())
    began = time.monotonic()
    outcome = _live(plan, seed)
    seconds = time.monotonic() - began
    problems = _shrink(plan, outcome) if outcome.problems else []
    return Result(TREES, 1, problems, outcome.entries, sorted(outcome.terms), seconds)


def try_plan(plan: Plan) -> Result:
    """A tree that somebody else planned."""
    outcome = _live(plan, time.time_ns())
    return Result(TREES, 1, outcome.problems, outcome.entries, sorted(outcome.terms))


def try_case(system: str, number: int) -> Result:
    """A named case."""
    with _deadline(_TIMEOUT):
        return Result(CASES_KIND, 1, run_case(_field(system), CASES[number], number).problems)


def try_race(system: str, exchanges: int) -> Result:
    """Walks and removals against somebody who exchanges names."""
    with _deadline(_LONG_TIMEOUT):
        race = run_race(_field(system), exchanges)
    return Result(RACED, race.walks + race.removals, race.problems, exchanges=race.exchanges)


def try_bulk(kind: str, size: int) -> Result:
    """Very many, very deep or very large entries, within limits of memory and time."""
    with _deadline(_LONG_TIMEOUT):
        found = run_bulk(_BULKS[kind](size), next(_numbers))
    took = ", ".join(f"{step} {seconds} s" for step, seconds in found.seconds.items())
    measured = f"{found.name}: {found.peak_bytes >> 20} MiB of memory, {found.archive_bytes:,} bytes, {took}"
    return Result(CASES_KIND, 1, found.problems, measured=measured)


def try_volumes(part: str) -> Result:
    """Volumes that go away or fill up."""
    with _deadline(_TIMEOUT):
        report = _VOLUMES[part](stage.ROOT / f"volumes-{next(_numbers)}")
    return Result(STEPS, report.tried, report.problems)


def _live(plan: Plan, seed: int) -> Outcome:
    with _deadline(_TIMEOUT):
        return live_plan(_field(plan.file_system), plan, seed)


def _shrink(plan: Plan, outcome: Outcome) -> list[str]:
    """What is wrong with the smallest tree that still has trouble."""
    end = time.monotonic() + _SHRINKING
    smallest, progress = plan, True
    while progress and time.monotonic() < end:
        progress = False
        for candidate in smaller(smallest):
            found = _live(candidate, time.time_ns())
            if found.problems:
                smallest, outcome, progress = candidate, found, True
                break
            if time.monotonic() > end:
                break
    return [f"at its smallest {smallest}", *outcome.problems]


@cache
def _field(kind: str) -> Field:
    return Field(kind)


def _has(kind: str) -> bool:
    try:
        _field(kind)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextlib.contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    """End the process, saying where it was, unless this is over in time."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
