"""Run the proof: `python -m tests.faults --mode quick|full [--only kill,errors,attacks,power,hostile,channel,mutants]`.

Quick takes minutes and tries every call of every life once; full takes hours: deaths during the recovery from
deaths, power cuts on both file systems at every call of every life, every mutant against everything.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final, TypeVar

from tests.faults import images, isolation, workers
from tests.faults.channel import tries as channel_tries
from tests.faults.crash import attacks, campaign, stracing, tries
from tests.faults.crash.calls import Call
from tests.faults.crash.campaign import Point
from tests.faults.crash.lives import LIVES
from tests.faults.crash.supervisor import Zygote
from tests.faults.hostile import part
from tests.faults.mutants import unit_trial
from tests.faults.mutants.mutants import MUTANTS
from tests.faults.mutants.tries import try_mutant, try_naive, try_unit
from tests.faults.tally import Tally

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_PARTS: Final = ("kill", "errors", "attacks", "power", "hostile", "channel", "mutants")
_LONG: Final = "second life"
"""Two quarantines, one after the other; quick mode tries every third point of it."""

_ENDS: Final = 4
_BYTES: Final = 32
"""Quick mode ends a side at every so manieth message, and cuts the wire at every so manieth byte."""

_SHOWN: Final = 20
"""Violations that are printed at the end."""


class Proof:
    """One run of the proof, part by part."""

    def __init__(self, root: Path, *, full: bool, jobs: int) -> None:
        self.tally = Tally()
        self.survivors: list[str] = []
        self._root = root
        self._full = full
        self._jobs = jobs

    def run(self, parts: Iterable[str]) -> bool:
        """Run these parts; False where Ctrl-C ended them."""
        try:
            for part in parts:
                print(f"==> {part}", flush=True)
                getattr(self, part)()
        except KeyboardInterrupt:
            return False
        return True

    def kill(self) -> None:
        """Deaths at every call, in the middle of every write, without renames that never replace, on full volumes."""
        self._try("undisturbed lives", tries.try_life, LIVES)
        points: list[Point] = []
        with Zygote() as zygote:
            for life in LIVES:
                calls = campaign.scout(zygote, self._root, life)
                made = [*campaign.deaths(life, calls), *campaign.tears(life, calls)]
                points += made if self._full or life != _LONG else made[::3]
                if self._full:
                    points += campaign.second_deaths(life, calls, 3)
            for life, world in product(LIVES if self._full else ("quarantine",), (campaign.LINKING, campaign.FULL)):
                points += campaign.deaths(life, campaign.scout(zygote, self._root, life, world=world), world=world)
            for life in LIVES if self._full else ("quarantine",):
                points += self._deaths_beside_subvolumes(zygote, life)
            self._try_points(points)
            print("  the same through strace, which sees with other eyes", flush=True)
            for kind, found in stracing.attempt_all(zygote, self._root, every=1 if self._full else 6):
                self._add(kind, found)

    def _deaths_beside_subvolumes(self, zygote: Zygote, life: str) -> Iterator[Point]:
        with images.Image(self._root / "scouted", images.BTRFS) as image:
            calls = campaign.scout(zygote, image.root, life, subvolumes=True)
        yield from campaign.deaths(life, calls, system=images.BTRFS)

    def errors(self) -> None:
        """Every error at every call that changes disk, and errors of calls that read."""
        lives = LIVES if self._full else ("first quarantine", "delete")
        points: list[Point] = []
        with Zygote() as zygote:
            for life in lives:
                points += campaign.failures(life, campaign.scout(zygote, self._root, life))
                full = campaign.scout(zygote, self._root, life, world=campaign.FULL)
                points += campaign.failures_of_spares(life, full)
            for life in lives if self._full else ("quarantine",):
                points += campaign.read_failures(life, campaign.scout(zygote, self._root, life, reading=True))
        self._try_points(points)

    def attacks(self) -> None:
        """Everything else that the world does to the engine."""
        self._try("attacks", tries.try_attack, attacks.ATTACKS)

    def power(self) -> None:
        """Power cuts on both file systems."""
        points: list[Point] = []
        with Zygote() as zygote:
            for life in LIVES if self._full else ("quarantine",):
                calls = campaign.scout(zygote, self._root, life)
                for system in images.KINDS:
                    points += self._cuts(life, calls, system)
        # Making a file system costs more than a cut: neighbours in the list go to the same worker's.
        self._try_points(points)

    def hostile(self) -> None:
        """Directories that attack whoever walks them, and volumes that go away."""
        part.run("full" if self._full else "quick", self.tally, jobs=self._jobs)

    def channel(self) -> None:
        """Messages lost, last, twice and overtaken, sides that end, and wires cut, between agent and controller."""
        prepare = partial(channel_tries.prepare, self._root)
        with workers.Worker(prepare) as worker:
            counted = worker.submit(channel_tries.count).result()
        print(f"  a life has {', '.join(f'{number:,} {what}' for what, number in sorted(counted.items()))}", flush=True)
        points = list(channel_tries.points(counted, *((1, 1) if self._full else (_BYTES, _ENDS))))
        found = workers.in_parallel("channel", channel_tries.try_point, points, self._jobs, prepare)
        for point, broken in found:
            self._add(point.kind, broken)

    def mutants(self) -> None:
        """Each broken engine must be noticed; so must the naive one."""
        print("  what the mutants are tried with, on the real engine first", flush=True)
        self._control()
        results = dict(self._in_parallel("mutants", partial(try_mutant, full=self._full), MUTANTS))
        for name in MUTANTS:
            if results[name] is None:
                self.survivors.append(name)
            verdict = f"killed by {results[name]}" if results[name] else "UNNOTICED"
            print(f"  {name}\n      {verdict:.240}".replace(str(self._root), ""))
        ((_, (lost, of)),) = self._in_parallel("naive engine", try_naive, [None])
        print(f"  tarfile, rmtree, retry\n      loses evidence at {lost} of {of} deaths")
        if not lost:
            self.survivors.append("the naive engine")

    def _control(self) -> None:
        trials = {trial for mutant in MUTANTS.values() for trial in mutant.by}
        units = [trial for trial in trials if trial.startswith(unit_trial.PREFIX)]
        for do, tasks in (
            (tries.try_life, list(LIVES)),
            (tries.try_attack, list(attacks.ATTACKS)),
            (try_unit, units),
        ):
            for _, found in self._in_parallel("on the real engine", do, tasks):
                self.tally.violations += found

    def _cuts(self, life: str, calls: list[Call], system: str) -> Iterator[Point]:
        yield from campaign.cuts(life, calls, system)
        yield from campaign.cuts_after_deaths(life, calls, system)

    def _try_points(self, points: Iterable[Point]) -> None:
        by_kind: dict[str, list[Point]] = {}
        for point in points:
            kind = "torn writes" if point.kind == "torn" else f"{point.kind}s"
            by_kind.setdefault(f"{kind} on {point.system}" if point.system else kind, []).append(point)
        for kind, chosen in by_kind.items():
            self._try(kind, tries.try_point, chosen)

    def _try(self, kind: str, do: Callable[[_Task], list[str]], tasks: Iterable[_Task]) -> None:
        for _, found in self._in_parallel(kind, do, tasks):
            self._add(kind, found)

    def _in_parallel(
        self, what: str, do: Callable[[_Task], _Result], tasks: Iterable[_Task]
    ) -> Iterator[tuple[_Task, _Result]]:
        return workers.in_parallel(what, do, tasks, self._jobs, partial(tries.prepare, self._root))

    def _add(self, kind: str, found: list[str]) -> None:
        violations = [text.replace(str(self._root), "") for text in found]
        self.tally.add(kind, violations)
        for violation in violations:
            print(f"  VIOLATION {violation}", flush=True)


def main() -> int:
    """Returns 0 when every promise held and every mutant was noticed; Ctrl-C ends it with the account so far."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--mode", choices=("quick", "full"), default="quick")
    parser.add_argument("--only", default=",".join(_PARTS), help=f"parts, out of {','.join(_PARTS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="tries at once")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    try:
        root = isolation.enter("tests.faults", sys.argv[1:])
        images.require_tools()
    except (PermissionError, FileNotFoundError) as exc:
        print(f"tests.faults: {exc}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    proof = Proof(root, full=arguments.mode == "full", jobs=arguments.jobs)
    ended = proof.run(parts)
    print(f"==> tried in {time.monotonic() - begun:.0f} s{'' if ended else ', INTERRUPTED'}")
    for violation in proof.tally.violations[:_SHOWN]:
        print(f"  VIOLATION {violation}")
    for line in proof.tally.lines():
        print(line)
    if not ended:
        return 128 + signal.SIGINT
    if "mutants" in parts:
        print(f"{len(MUTANTS)} mutants and the naive engine: {len(proof.survivors)} unnoticed {proof.survivors or ''}")
    return 1 if proof.tally.violations or proof.survivors else 0


if __name__ == "__main__":
    sys.exit(main())
