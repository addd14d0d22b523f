"""What a mutant is tried with, by name: undisturbed lives, attacks, deaths, errors, power cuts, unit tests.

The same that the real engine must pass; the first broken promise ends a trial.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.faults.crash import attacks, campaign
from tests.faults.crash.calls import REMOVALS, RENAMES, Call
from tests.faults.crash.campaign import Point
from tests.faults.crash.lives import LIVES
from tests.faults.crash.power import PowerSupply
from tests.faults.crash.supervisor import Zygote
from tests.faults.mutants import unit_trial
from tests.faults.mutants.mutant import Mutant

Trial = Callable[[Zygote, Path], str | None]
"""Returns what was noticed first, None where nothing was."""

NAIVE_LIFE: Final = "first quarantine"


def trial_of(name: str, mutant: str) -> Trial:
    """The trial of a name: life, power, an attack, `<life> deaths|errors|linking|full`, or a unit test's node id."""
    if name == "life":
        return _lives
    if name == "power":
        return _power
    if name in attacks.ATTACKS:
        return lambda zygote, place: _attack(name, zygote, place)
    if name.startswith(unit_trial.PREFIX):
        return lambda _zygote, _place: unit_trial.attempt(name, mutant)
    life, _, kind = name.rpartition(" ")
    return lambda zygote, place: _points(kind, life or "quarantine", zygote, place)


def every_trial(mutant: Mutant, *, power: bool) -> list[str]:
    """All trials, those that are known to notice the mutant first."""
    points = [
        "deaths",
        *(f"{life} deaths" for life in LIVES),
        "errors",
        "quarantine linking",
        "quarantine full",
        *(["power"] if power else []),
    ]
    return list(dict.fromkeys((*mutant.by, "life", *attacks.ATTACKS, *points)))


def _lives(zygote: Zygote, place: Path) -> str | None:
    for name in LIVES:
        if found := campaign.undisturbed(zygote, place, name):
            return f"undisturbed {name}: {found[0]}"
    return None


def _attack(name: str, zygote: Zygote, place: Path) -> str | None:
    found = attacks.attempt(name, zygote, place)
    return f"{name}: {found[0]}" if found else None


def _points(kind: str, life: str, zygote: Zygote, place: Path) -> str | None:
    world = kind if kind in campaign.WORLDS else ""
    calls = campaign.scout(zygote, place, life, world=world)
    made: Iterable[Point] = sorted(
        campaign.deaths(life, calls, world=world), key=lambda point: _promise(calls, point.at)
    )
    if kind == "errors":
        made = (Point("error", life, at, error="EIO") for at in range(len(calls)))
    return _first(made, lambda point: campaign.attempt(point, zygote, place))


def _promise(calls: list[Call], at: int) -> int:
    """How likely a death there shows something: most, when something was just moved or removed."""
    moved = calls[at - 1].name in RENAMES or (calls[at - 1].name in REMOVALS and calls[at - 1].effective)
    return 0 if at and moved else 1


def _power(zygote: Zygote, place: Path) -> str | None:
    calls = campaign.scout(zygote, place, "quarantine")
    for system in ("xfs", "ext4"):
        with PowerSupply(place / "power", system) as supply:
            made = [
                *campaign.cuts("quarantine", calls, system),
                *campaign.cuts_after_deaths("quarantine", calls, system),
            ]
            if noticed := _first(made, lambda point, supply=supply: supply.attempt(point, zygote)):  # type: ignore[misc]
                return noticed
    return None


def _first(points: Iterable[Point], attempt: Callable[[Point], Sequence[object]]) -> str | None:
    for point in points:
        if found := attempt(point):
            return f"{point}: {found[0]}"
    return None
