"""The part `hostile` of the suite: trees from the generator, named cases, the race, volumes that go away.

`python -m tests.faults.hostile.part --mode quick|full` runs it alone. A try that ends its process is a violation.
"""

import argparse
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults import isolation, workers
from tests.faults.hostile import tries
from tests.faults.hostile.cases import CASES
from tests.faults.hostile.tries import CASES_KIND, RACED, STEPS, TREES, Result, Task
from tests.faults.tally import Tally


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How much a mode tries."""

    trees: int
    exchanges: int
    files: int


_SIZES: Final = {"quick": _Sizes(2_000, 100_000, 100_000), "full": _Sizes(200_000, 10_000_000, 1_000_000)}


@dataclass(slots=True)
class Account:
    """What was tried and found, and what became of it."""

    tally: Tally
    entries: int = 0
    exchanges: int = 0
    slowest: float = 0
    terms: Counter[str] = field(default_factory=Counter)
    measured: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.tally.add(result.kind, result.problems, result.tried)
        self.entries += result.entries
        self.exchanges += result.exchanges
        self.slowest = max(self.slowest, result.seconds)
        self.terms.update(result.terms)
        self.measured += filter(None, (result.measured,))

    def lines(self) -> list[str]:
        """The totals in words."""
        tried = self.tally.tried
        terms = ", ".join(f"{count:,} {term}" for term, count in self.terms.most_common())
        return [
            f"hostile trees: {tried[TREES]:,} with {self.entries:,} entries ({terms}); slowest {self.slowest:.1f} s",
            f"named cases: {tried[CASES_KIND]}; {'; '.join(self.measured)}",
            f"race: {self.exchanges:,} exchanges against {tried[RACED]:,} walks and removals",
            f"volumes: {tried[STEPS]} steps without the right volume or without room",
        ]


def attempt_all(tasks: Iterable[Task], account: Account, jobs: int) -> None:
    """Try everything, and count it."""
    found = workers.in_parallel("hostile", tries.attempt, tasks, jobs, tries.prepare, died=_died)
    for _, result in found:
        account.add(result)
        for problem in result.problems:
            print(f"  VIOLATION {problem}", flush=True)


def run(mode: str, tally: Tally, *, seed: int | None = None, jobs: int = 2, trees: int = 0) -> None:
    """Run the part.

    Args:
        mode: quick (about two minutes) or full (hours).
        tally: takes the totals, up to where the run is interrupted.
        seed: of the first tree; by default 0 in quick mode, and any in full mode.
        jobs: processes at once.
        trees: how many, if not as many as the mode says.
    """
    sizes = _SIZES[mode]
    first = seed if seed is not None else 0 if mode == "quick" else random.SystemRandom().randrange(2**40)
    seeds = range(first, first + (trees or sizes.trees))
    with workers.Worker(tries.prepare) as probe:
        systems = probe.submit(tries.file_systems).result()
    print(f"  {len(seeds):,} trees from seed {first} on {', '.join(systems)}, {jobs} processes", flush=True)
    account = Account(tally)
    attempt_all([*_large(mode, sizes, systems), *map(_tree, seeds)], account, jobs)
    for line in account.lines():
        print(f"  {line}")


def _large(mode: str, sizes: _Sizes, systems: tuple[str, ...]) -> Iterator[Task]:
    """All tasks but the trees, the longest first."""
    bulks = {"files": sizes.files, "spread files": sizes.files, "levels": 10_000, "holes": 1 << 40, "names": 40_000}
    for kind, size in bulks.items():
        if mode == "full" or kind != "spread files":
            yield Task(f"{size:,} {kind}", tries.try_bulk, (kind, size))
    for part in ("guards", "interruptions", "full"):
        yield Task(f"volumes: {part}", tries.try_volumes, (part,))
    for system in systems:
        yield Task(f"race on {system}", tries.try_race, (system, sizes.exchanges))
    for system in systems if mode == "full" else systems[:1]:
        for number, case in enumerate(CASES):
            yield Task(f"{case.name}, on {system}", tries.try_case, (system, number))


def _tree(seed: int) -> Task:
    return Task(f"tree of seed {seed}", tries.try_tree, (seed,))


def _died(task: Task) -> Result:
    return Result("processes that ended", 1, [f"{task.name}: hung or crashed, and where is said above"])


def main() -> int:
    """Run the part alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("quick", "full"), default="quick")
    parser.add_argument("--seed", type=int, help="of the first tree")
    parser.add_argument("--trees", type=int, default=0, help="how many")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    given = parser.parse_args()
    try:
        isolation.enter("tests.faults.hostile.part", sys.argv[1:])
    except (PermissionError, FileNotFoundError) as exc:
        print(f"tests.faults.hostile.part: {exc}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    tally = Tally()
    run(given.mode, tally, seed=given.seed, jobs=given.jobs, trees=given.trees)
    for line in tally.lines():
        print(line)
    print(f"in {time.monotonic() - began:.0f} s")
    return bool(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
