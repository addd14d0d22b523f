"""Tries that a worker makes on engines that are broken on purpose; `crash.tries` prepares it."""

import re
from typing import Final

from tests.faults.crash import campaign, tries
from tests.faults.crash.supervisor import Zygote
from tests.faults.mutants import trials, unit_trial
from tests.faults.mutants.mutants import MUTANTS

_NOT_RUNNABLE: Final = re.compile(r"\b(AttributeError|ImportError|ModuleNotFoundError|NameError)\b.*")
"""What Python says of a mutant that names something which is not there."""


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
        found = (trials.trial_of(trial, name)(zygote, tries.place()) for trial in names)
        noticed = next((said for said in found if said), None)
    if noticed and (reason := _NOT_RUNNABLE.search(noticed)):
        raise ValueError(f"mutant {name!r} cannot run: {reason[0]}")
    return noticed


def try_naive(_: object = None) -> tuple[int, int]:
    """At how many deaths the naive engine lost evidence, and of how many."""
    with Zygote(double=True) as zygote:
        calls = campaign.scout(zygote, tries.place(), trials.NAIVE_LIFE)
        points = list(campaign.deaths(trials.NAIVE_LIFE, calls))
        found = [campaign.attempt(point, zygote, tries.place()) for point in points]
    lost = [any(violation.promise == "P1" for violation in violations) for violations in found]
    return sum(lost), len(lost)
