"""All engines that are broken on purpose, by name.

Where something else behind a step keeps the promises too, what notices its absence is a unit test of the step itself.
"""

from typing import Final

from tests.faults.change import apply
from tests.faults.mutants.channel import CHANNEL
from tests.faults.mutants.flushes import FLUSHES
from tests.faults.mutants.mutant import Mutant
from tests.faults.mutants.order import ORDER
from tests.faults.mutants.preconditions import PRECONDITIONS
from tests.faults.mutants.verification import VERIFICATION

MUTANTS: Final[dict[str, Mutant]] = FLUSHES | ORDER | VERIFICATION | PRECONDITIONS | CHANNEL


def install(name: str) -> None:
    """Have the engine in this process be the mutant of this name, until its end."""
    apply(*MUTANTS[name].changes)
