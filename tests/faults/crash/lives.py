"""The lives that are lived under fault: what is asked of the engine, in which order, and how each must end.

Only data, shared by the driver and the harness; imports nothing of either.
"""

from dataclasses import dataclass
from typing import Final

NAMESPACE: Final = "runners"
NAME: Final = "runner-0"
UIDS: Final = ("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11", "1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")
STRANGER: Final = "9b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"
"""Uid of a neighbour that has the same name and that no life ever asks anything for."""

OWNER: Final = 1000
MODE: Final = 0o770
BROKEN: Final = "broken"
"""Name of a file in every directory; the disk below it is broken in lives that say so."""

HOLDER_MODE: Final = 0o711
"""Of a namespace's directory: runners pass through, and see nobody else."""

MAKING: Final = frozenset({"create", "fill", "measure"})
MOVING: Final = frozenset({"archive", "archive in vain", "remove", "retain"})
"""Once one of these was begun for a directory, nobody asks to make it any more."""


@dataclass(frozen=True, slots=True)
class Life:
    """Steps are `action` or `action:who`, where `who` is an index into `UIDS`.

    `instead` replaces the steps of every run after the first: somebody changed their mind after the fault.
    `ends` is what becomes of each directory: provisioned, gone or retained.
    """

    name: str
    steps: tuple[str, ...]
    ends: tuple[str, ...]
    instead: tuple[str, ...] = ()
    prepared: bool = True
    """Whether the volumes exist already, with a neighbour's files on them."""
    broken: bool = False
    """Whether the engine gets EIO where it reads the content of `BROKEN`."""


_QUARANTINE: Final = ("create", "fill", "measure", "latch", "archive", "remove", "release", "forget")

LIVES: Final = {
    life.name: life
    for life in (
        Life("create", ("create", "fill"), ("provisioned",), prepared=False),
        Life("delete", ("create", "fill", "measure", "remove", "release", "forget"), ("gone",)),
        Life("quarantine", _QUARANTINE, ("gone",)),
        Life(
            "provisional",
            ("create", "fill", "latch", "snapshot", "archive", "remove", "release", "forget"),
            ("gone",),
        ),
        Life(
            "first quarantine",
            ("create", "latch", "fill", "archive", "remove", "release", "forget"),
            ("gone",),
            prepared=False,
        ),
        Life(
            "latch during delete",
            ("create", "fill", "remove", "release"),
            ("gone",),
            instead=("create", "fill", "latch", "archive", "remove", "release", "forget"),
        ),
        Life(
            "second life",
            (*_QUARANTINE[:-1], *(f"{step}:1" for step in _QUARANTINE), "forget"),
            ("gone", "gone"),
        ),
        Life(
            "accepted loss",
            ("create", "fill", "latch", "archive in vain", "accept", "archive", "remove", "release", "forget"),
            ("gone",),
            broken=True,
        ),
        Life("retain", ("create", "fill", "retain", "release"), ("retained",)),
        Life(
            "retain during delete",
            ("create", "fill", "remove", "release"),
            ("retained or gone",),
            instead=("create", "fill", "retain", "release"),
        ),
    )
}


def split(step: str) -> tuple[str, int]:
    """Action and index of a step."""
    action, _, who = step.partition(":")
    return action, int(who or 0)
