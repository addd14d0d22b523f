"""The account of a proof, and what zero failures in so many tries say: the rule of three."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Numbers tried by kind, and the broken promises that were found, in words."""

    tried: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, kind: str, found: list[str], tried: int = 1) -> None:
        """Count a try, or several at once."""
        self.tried[kind] += tried
        self.violations += found

    def lines(self) -> list[str]:
        """The account, with the bound that the numbers give."""
        width = max((len(kind) for kind in self.tried), default=0)
        account = [f"  {kind:<{width}} {count:>7}" for kind, count in sorted(self.tried.items())]
        return [
            *account,
            f"  {'in all':<{width}} {self.tried.total():>7}",
            bound(self.tried.total(), len(self.violations)),
        ]


def bound(tries: int, failures: int) -> str:
    """The 95 % bound on the probability of failure at a point like the tried ones."""
    if failures:
        return f"{failures} violations in {tries} tries: the promises are broken"
    if not tries:
        return "nothing was tried, which shows nothing"
    return (
        f"0 violations in {tries} tries: with 95 % confidence, the probability that a fault at such a point breaks a "
        f"promise is below 3/{tries} = {3 / tries:.2g} (rule of three)"
    )
