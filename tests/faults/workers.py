"""Doing many tries at once: one process each with its own driver and directories, and a line of progress.

What is tried is a value; where it is tried (a driver, two file systems that can lose power) is made when it is first
needed, and belongs to the worker.
"""

import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final, TypeVar

from tests.faults.crash import attacks, campaign
from tests.faults.crash.campaign import Point
from tests.faults.crash.power import PowerSupply
from tests.faults.crash.supervisor import Zygote
from tests.faults.images import Image
from tests.faults.mutants import trials, unit_trial
from tests.faults.mutants.mutants import MUTANTS

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_NOT_RUNNABLE: Final = re.compile(r"\b(AttributeError|ImportError|ModuleNotFoundError|NameError)\b.*")
"""What Python says of a mutant that names something which is not there."""

_AHEAD: Final = 4
"""Tries waiting for each worker."""

_stack = ExitStack()
_root = Path()


def prepare(root: Path) -> None:
    """Begin as a worker, with a directory of one's own below `root`."""
    global _root  # noqa: PLW0603 - one worker, one process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _root = root / str(os.getpid())
    _root.mkdir()
    # A worker's end runs these, not what atexit knows.
    Finalize(None, _stack.close, exitpriority=1)


def try_point(point: Point) -> list[str]:
    """What a fault broke."""
    if point.kind == "cut":
        found = _supply(point.system).attempt(point, _engine())
    else:
        found = campaign.attempt(point, _engine(), _file_system(point.system) if point.system else _root)
    return [f"{point}: {violation}" for violation in found]


def try_life(life: str) -> list[str]:
    """What an undisturbed life broke."""
    return [f"undisturbed {life}: {violation}" for violation in campaign.undisturbed(_engine(), _root, life)]


def try_attack(name: str) -> list[str]:
    """What an attack broke."""
    return [f"{name}: {violation}" for violation in attacks.attempt(name, _engine(), _root)]


def try_unit(name: str) -> list[str]:
    """What a unit test says of the real engine."""
    failed = unit_trial.attempt(name)
    return [failed] if failed else []


def try_mutant(name: str, *, full: bool) -> str | None:
    """By what a mutant was noticed, None where it survived.

    Raises:
        ValueError: it cannot run at all, which is noticed by everything and shows nothing.
    """
    mutant = MUTANTS[name]
    names = trials.every_trial(mutant, power=True) if full else list(mutant.by)
    with Zygote(mutant=name) as zygote:
        noticed = next((found for trial in names if (found := trials.trial_of(trial, name)(zygote, _root))), None)
    if noticed and (reason := _NOT_RUNNABLE.search(noticed)):
        raise ValueError(f"mutant {name!r} cannot run: {reason[0]}")
    return noticed


def try_naive(_: object = None) -> tuple[int, int]:
    """At how many deaths the naive engine lost evidence, and of how many."""
    with Zygote(double=True) as zygote:
        calls = campaign.scout(zygote, _root, trials.NAIVE_LIFE)
        points = list(campaign.deaths(trials.NAIVE_LIFE, calls))
        lost = [any(found.promise == "P1" for found in campaign.attempt(point, zygote, _root)) for point in points]
    return sum(lost), len(lost)


def in_parallel(
    root: Path, what: str, do: Callable[[_Task], _Result], tasks: Iterable[_Task], jobs: int
) -> Iterator[tuple[_Task, _Result]]:
    """Results as they come; says how far it is."""
    pending = list(tasks)
    begun = time.monotonic()
    with ProcessPoolExecutor(jobs, get_context("fork"), prepare, (root,)) as pool:
        source = iter(pending)
        running = {pool.submit(do, task): task for task in itertools.islice(source, jobs * _AHEAD)}
        finished = 0
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                task = running.pop(future)
                running |= {pool.submit(do, following): following for following in itertools.islice(source, 1)}
                finished += 1
                _progress(what, finished, len(pending), begun)
                yield task, future.result()


def _progress(what: str, finished: int, total: int, begun: float) -> None:
    last = finished == total
    if sys.stdout.isatty():
        print(f"\r  {what}: {finished} of {total}", end="\n" if last else "", flush=True)
    elif last or finished % max(1, total // 4) == 0:
        print(f"  {what}: {finished} of {total}, {time.monotonic() - begun:.0f} s", flush=True)


@cache
def _engine() -> Zygote:
    return _stack.enter_context(Zygote())


@cache
def _file_system(kind: str) -> Path:
    return _stack.enter_context(Image(_root / f"alone on {kind}", kind)).root


@cache
def _supply(system: str) -> PowerSupply:
    return _stack.enter_context(PowerSupply(_root / system, system))
