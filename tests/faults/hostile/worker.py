"""The process in which hostile directories live: takes tasks as JSON lines, answers with JSON lines.

Everything it makes is in a mount namespace of its own and gone when it ends. A task that hangs ends the process,
with a traceback of where; whoever gave the task sees that.
"""

import base64
import contextlib
import faulthandler
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
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

DEADLINE: Final = 120
"""Seconds that one tree or one case may take; most take less than a tenth of one, on a busy machine a few."""

_SHRINKING: Final = 30
"""Seconds for looking for a smaller tree with the same trouble."""

_BULKS: Final[dict[str, Callable[[int], Bulk]]] = {
    "files": lambda size: many_files(size, flat=True),
    "spread files": lambda size: many_files(size, flat=False),
    "levels": levels,
    "holes": holes,
    "names": names,
}
_LONG: Final = 3600


class Worker:
    """Does tasks; file systems are made when they are first needed."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._fields: dict[str, Field] = {}
        self._made = 0
        self._stack = ExitStack()
        self.systems = tuple(kind for kind in stage.FILE_SYSTEMS if self._has(kind))

    def do(self, task: dict[str, Any]) -> None:
        """Do a task, and tell what was found."""
        getattr(self, f"_do_{task.pop('do')}")(**task)

    def _do_trees(self, first: int, count: int) -> None:
        for seed in range(first, first + count):
            plan = draw_plan(Random(seed), self.systems)
            self._tell(begun=f"tree of seed {seed}", seed=seed)
            with _deadline(DEADLINE):
                began = time.monotonic()
                outcome = live_plan(self._field(plan.file_system), plan, seed)
                took = time.monotonic() - began
            if outcome.problems:
                self._shrink(plan, seed, outcome)
            self._tell(tree=seed, terms=sorted(outcome.terms), entries=outcome.entries, seconds=round(took, 3))

    def _do_plan(self, plan: str) -> None:
        """A plan from whoever started this process, pickled."""
        tree: Plan = pickle.loads(base64.b64decode(plan))  # noqa: S301
        tree = replace(tree, file_system=tree.file_system if tree.file_system in self.systems else "tmpfs")
        with _deadline(DEADLINE):
            outcome = live_plan(self._field(tree.file_system), tree, time.time_ns())
        self._tell(terms=sorted(outcome.terms), problems=outcome.problems)

    def _do_cases(self, system: str) -> None:
        for number, case in enumerate(CASES):
            self._tell(begun=f"{case.name}, on {system}")
            with _deadline(DEADLINE):
                outcome = run_case(self._field(system), case, number)
            self._report(f"{case.name}, on {system}", outcome.problems)
            self._tell(case=case.name)

    def _do_race(self, system: str, exchanges: int) -> None:
        self._tell(begun=f"race on {system}")
        with _deadline(_LONG):
            race = run_race(self._field(system), exchanges)
        self._report(f"race on {system}", race.problems)
        self._tell(exchanges=race.exchanges, walks=race.walks, removals=race.removals)

    def _do_bulk(self, kind: str, size: int) -> None:
        bulk = _BULKS[kind](size)
        self._tell(begun=bulk.name)
        self._made += 1
        with _deadline(_LONG):
            measured = run_bulk(bulk, self._made)
        self._report(measured.name, measured.problems)
        self._tell(case=measured.name, peak=measured.peak_bytes, archive=measured.archive_bytes, took=measured.seconds)

    def _do_volumes(self, part: str) -> None:
        self._tell(begun=f"volumes: {part}")
        self._made += 1
        run = {"guards": volumes.run_guards, "interruptions": volumes.run_interruptions,
               "full": volumes.run_full}[part]  # fmt: skip
        with _deadline(DEADLINE):
            report = run(stage.ROOT / f"volumes-{self._made}")
        self._report(f"volumes: {part}", report.problems)
        self._tell(volume_steps=report.tried)

    def _field(self, kind: str) -> Field:
        if kind not in self._fields:
            self._fields[kind] = Field(kind)
        return self._fields[kind]

    def _has(self, kind: str) -> bool:
        try:
            self._field(kind)
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _shrink(self, plan: Plan, seed: int, outcome: Outcome) -> None:
        """Look for the smallest tree that still has trouble, and tell of it."""
        end = time.monotonic() + _SHRINKING
        smallest, progress = plan, True
        while progress and time.monotonic() < end:
            progress = False
            for candidate in smaller(smallest):
                with _deadline(DEADLINE):
                    found = live_plan(self._field(candidate.file_system), candidate, time.time_ns())
                if found.problems:
                    smallest, outcome, progress = candidate, found, True
                    break
                if time.monotonic() > end:
                    break
        self._report(f"tree of seed {seed}, at its smallest {smallest}", outcome.problems)

    def _report(self, what: str, problems: list[str]) -> None:
        if problems:
            self._tell(violation=f"{what}: {'; '.join(problems[:5])}")


@contextlib.contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    """End the process, saying where it was, unless this is over in time."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def main() -> None:
    """Serve tasks until the input ends; an argument names a sabotage of the engine."""
    stage.enter()
    for name in sys.argv[1:]:
        sabotage(name)
    output, sys.stdout = sys.stdout, sys.stderr

    def tell(**message: Any) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    worker = Worker(tell)
    tell(systems=worker.systems)
    for line in sys.stdin:
        worker.do(json.loads(line))
        tell(done=True)


if __name__ == "__main__":
    main()
