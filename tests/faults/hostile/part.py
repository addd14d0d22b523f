"""The part `hostile` of the suite: trees from the generator, named cases, the race, volumes that go away.

`python -m tests.faults.hostile.part --mode quick|full` runs it alone. Work is done by processes that are replaced
when they die; a tree, case or race that ends its process is a violation.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tests.faults import isolation

_CHUNK: Final = 50
_SAYING: Final = 500
_QUICK: Final = {"trees": 2_000, "exchanges": 100_000, "files": 100_000}
_FULL: Final = {"trees": 200_000, "exchanges": 10_000_000, "files": 1_000_000}

Say = Callable[[str], None]


class WorkerDiedError(Exception):
    """A worker process ended in the middle of a task, which a deadline or a crash did."""


class Process:
    """A worker process, which is there once this is made and gone when it is closed."""

    def __init__(self, *sabotages: str) -> None:
        if os.geteuid() != 0:
            raise PermissionError("hostile directories need mounts, device nodes and foreign owners: run this as root")
        command = [sys.executable, "-m", "tests.faults.hostile.worker", *sabotages]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._stderr: list[str] = []
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        self.systems: list[str] = self._answer()["systems"]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def do(self, task: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
        """Have a task done; every message is handed on.

        Raises:
            WorkerDiedError: with what the process said last.
        """
        try:
            self._input.write(json.dumps(task) + "\n")
            self._input.flush()
        except BrokenPipeError as exc:
            raise WorkerDiedError(self._last_words()) from exc
        while not (message := self._answer()).get("done"):
            take(message)

    def close(self) -> None:
        """End it; everything that it made goes with it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _input(self) -> Any:
        return self._process.stdin

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise WorkerDiedError(self._last_words())
        message: dict[str, Any] = json.loads(line)
        return message

    def _last_words(self) -> str:
        self._process.wait()
        self._reader.join()
        return f"status {self._process.returncode}: {''.join(self._stderr[-12:]).strip()[-1500:]}"

    def _read_stderr(self) -> None:
        for line in self._process.stderr or ():
            self._stderr = [*self._stderr[-50:], line]


@dataclass(slots=True)
class Tally:
    """What was tried and found."""

    trees: int = 0
    entries: int = 0
    cases: int = 0
    exchanges: int = 0
    walks: int = 0
    removals: int = 0
    volume_steps: int = 0
    slowest: float = 0
    terms: Counter[str] = field(default_factory=Counter)
    measured: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def tried(self) -> dict[str, int]:
        """Numbers tried by kind; exchanges are not tries, the walks that were raced are."""
        return {
            "hostile trees": self.trees,
            "hostile named cases": self.cases,
            "walks and removals raced": self.walks + self.removals,
            "steps without their volume": self.volume_steps,
        }

    def take(self, message: dict[str, Any]) -> None:
        """Add up what a worker tells."""
        if "tree" in message:
            self.trees += 1
            self.entries += message["entries"]
            self.terms.update(message["terms"])
            self.slowest = max(self.slowest, message["seconds"])
        self.cases += "case" in message
        if "peak" in message:
            took = ", ".join(f"{step} {seconds} s" for step, seconds in message["took"].items())
            self.measured.append(
                f"{message['case']}: {message['peak'] >> 20} MiB of memory, {message['archive']:,} bytes, {took}"
            )
        for name in ("exchanges", "walks", "removals", "volume_steps"):
            setattr(self, name, getattr(self, name) + message.get(name, 0))
        if "violation" in message:
            self.violations.append(message["violation"])

    def lines(self) -> list[str]:
        """The totals in words."""
        terms = ", ".join(f"{count:,} {term}" for term, count in self.terms.most_common())
        return [
            f"hostile trees: {self.trees:,} with {self.entries:,} entries ({terms}); slowest {self.slowest:.1f} s",
            f"named cases: {self.cases}; {'; '.join(self.measured)}",
            f"race: {self.exchanges:,} exchanges against {self.walks:,} walks and {self.removals:,} removals",
            f"volumes: {self.volume_steps} steps without the right volume or without room",
        ]


class Crew:
    """Worker processes that do tasks until none is left, each replaced when it dies."""

    def __init__(self, tasks: list[dict[str, Any]], say: Say, tally: Tally) -> None:
        self.tally = tally
        self._tasks = list(reversed(tasks))
        self._say = say
        self._lock = threading.Lock()
        self._processes: set[Process] = set()
        self._interrupted = False

    def work(self, workers: int) -> None:
        """Do everything; interrupted, end all processes at once."""
        with ThreadPoolExecutor(workers) as pool:
            try:
                for future in [pool.submit(self._work) for _ in range(workers)]:
                    future.result()
            except BaseException:
                with self._lock:
                    self._interrupted = True
                    self._tasks.clear()
                    for process in self._processes:
                        os.kill(process.pid, signal.SIGKILL)
                raise
        if self._tasks:
            self.tally.violations.append(f"{len(self._tasks)} tasks were not done, because no worker could start")

    def _work(self) -> None:
        """Do tasks, one process after the other."""
        while self._tasks:
            begun: dict[str, Any] = {}
            task: dict[str, Any] = {}
            try:
                with Process() as process:
                    self._enlist(process)
                    while self._tasks:
                        with self._lock:
                            task = self._tasks.pop() if self._tasks else {"do": "trees", "first": 0, "count": 0}
                        begun.clear()
                        process.do(task, lambda message, begun=begun: self._take(message, begun))  # type: ignore[misc]
                    self._dismiss(process)
            except WorkerDiedError as exc:
                if self._interrupted:
                    return
                self._take({"violation": f"{begun.get('begun', 'a worker')} hung or crashed: {exc}"}, {})
                if not begun:
                    return
                if "seed" in begun and (left := task["first"] + task["count"] - begun["seed"] - 1):
                    with self._lock:
                        self._tasks.append({"do": "trees", "first": begun["seed"] + 1, "count": left})

    def _enlist(self, process: Process) -> None:
        with self._lock:
            self._processes = {other for other in self._processes if other.alive} | {process}

    def _dismiss(self, process: Process) -> None:
        with self._lock:
            self._processes.discard(process)

    def _take(self, message: dict[str, Any], begun: dict[str, Any]) -> None:
        with self._lock:
            if "begun" in message:
                begun.clear()
                begun.update(message)
            self.tally.take(message)
            if "violation" in message:
                self._say(f"hostile: VIOLATION {message['violation']}")
            if "tree" in message and self.tally.trees % _SAYING == 0:
                found = len(self.tally.violations)
                self._say(f"hostile: {self.tally.trees:,} trees, {self.tally.cases} cases, {found} violations")


def run(
    mode: str, tally: Tally, *, seed: int | None = None, workers: int = 2, say: Say = print, trees: int = 0
) -> None:
    """Run the part.

    Args:
        mode: quick (about two minutes) or full (hours).
        tally: takes the totals, up to where the run is interrupted.
        seed: of the first tree; by default 0 in quick mode, and any in full mode.
        workers: processes at once.
        say: takes lines of progress.
        trees: how many, if not as many as the mode says.
    """
    sizes = _QUICK if mode == "quick" else _FULL
    first = seed if seed is not None else 0 if mode == "quick" else random.SystemRandom().randrange(2**40)
    count = trees or int(sizes["trees"])
    with Process() as probe:
        systems = probe.systems
    say(f"hostile: {count:,} trees from seed {first} on {', '.join(systems)}, {workers} workers")
    Crew(_tasks(mode, sizes, systems, first, count), say, tally).work(workers)
    for line in tally.lines():
        say(f"hostile: {line}")


def _tasks(mode: str, sizes: dict[str, Any], systems: list[str], first: int, count: int) -> list[dict[str, Any]]:
    """All tasks, the longest first."""
    tasks: list[dict[str, Any]] = [{"do": "bulk", "kind": "files", "size": int(sizes["files"])}]
    if mode == "full":
        tasks.append({"do": "bulk", "kind": "spread files", "size": int(sizes["files"])})
    tasks += [
        {"do": "bulk", "kind": "levels", "size": 10_000},
        {"do": "bulk", "kind": "holes", "size": 1 << 40},
        {"do": "bulk", "kind": "names", "size": 40_000},
        *({"do": "volumes", "part": part} for part in ("guards", "interruptions", "full")),
        *({"do": "race", "system": system, "exchanges": int(sizes["exchanges"])} for system in systems),
        *({"do": "cases", "system": system} for system in (systems if mode == "full" else systems[:1])),
    ]
    seeds = range(first, first + count, _CHUNK)
    return tasks + [{"do": "trees", "first": at, "count": min(_CHUNK, first + count - at)} for at in seeds]


def main() -> int:
    """Run the part alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("quick", "full"), default="quick")
    parser.add_argument("--seed", type=int, help="of the first tree")
    parser.add_argument("--trees", type=int, default=0, help="how many")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    try:
        isolation.enter("tests.faults.hostile.part", sys.argv[1:])
    except (PermissionError, FileNotFoundError) as exc:
        print(f"tests.faults.hostile.part: {exc}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    tally = Tally()
    run(given.mode, tally, seed=given.seed, workers=given.workers, trees=given.trees)
    took = time.monotonic() - began
    print(f"hostile: {sum(tally.tried.values()):,} tried, {len(tally.violations)} violations in {took:.0f} s")
    return bool(tally.violations)


if __name__ == "__main__":
    sys.exit(main())
