"""What the world does to the engine besides killing it: corrupts, replaces, unmounts, gets in the way.

The real engine must refuse each attack or take it in its stride; each exists because some mutant is only noticed by it.
"""

from tests.faults.crash import attacks_on_archives, attacks_on_directories, attacks_on_volumes
from tests.faults.crash.attack import ATTACKS, attempt

__all__ = ["ATTACKS", "attempt"]

_ = (attacks_on_archives, attacks_on_directories, attacks_on_volumes)  # Each enters its own into ATTACKS.
