"""A broken engine as a value."""

from dataclasses import dataclass
from typing import Final

from tests.faults.change import Change

UNIT: Final = "tests/unit/engine/"
"""What the trials begin with that are unit tests of the engine."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`by` names the trials (see `trials`) that are known to notice it, the quickest first."""

    changes: tuple[Change, ...]
    by: tuple[str, ...]


def mutant(change: Change, *by: str) -> Mutant:
    """One that differs in one place."""
    return Mutant((change,), by)
