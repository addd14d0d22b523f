"""Tries that a worker makes on an engine that is killed, told of errors, attacked, or loses its power."""

import os
from contextlib import ExitStack
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from tests.faults.crash import attacks, campaign
from tests.faults.crash.campaign import Point
from tests.faults.crash.power import PowerSupply
from tests.faults.crash.supervisor import Zygote
from tests.faults.images import Image

_stack = ExitStack()
_root = Path()


def prepare(root: Path) -> None:
    """Begin as a worker, with a directory of one's own below `root`."""
    global _root  # noqa: PLW0603 - one worker, one process
    _root = root / str(os.getpid())
    _root.mkdir()
    # A worker's end runs these, not what atexit knows.
    Finalize(None, _stack.close, exitpriority=1)


def place() -> Path:
    """The worker's directory."""
    return _root


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


@cache
def _engine() -> Zygote:
    return _stack.enter_context(Zygote())


@cache
def _file_system(kind: str) -> Path:
    return _stack.enter_context(Image(_root / f"alone on {kind}", kind)).root


@cache
def _supply(system: str) -> PowerSupply:
    return _stack.enter_context(PowerSupply(_root / system, system))
