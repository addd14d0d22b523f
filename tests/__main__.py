"""Run tiers of tests at the same time: `python -m tests e2e node faults`, each as its target of the Makefile.

They wait more than they compute: for clusters, for intervals, for disks. The output of each goes into a log of its own;
what is printed is one line for each now and then, and the whole log of what failed.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.cluster.processes import die_with_parent

_LOGS: Final = Path("build/tests")
_BEAT: Final = 30.0
"""Seconds between two reports."""

_WIDTH: Final = 100


@dataclass
class Tier:
    """One running tier of tests."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, name: str) -> "Tier":
        """Run the target `test-NAME`; it ends with this process."""
        log = _LOGS / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [os.environ.get("MAKE", "make"), "--no-print-directory", f"test-{name}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=_before_exec(),  # noqa: PLW1509 - safe: nothing else runs in this process.
            )
        return cls(name, log, process)

    def report(self, state: str) -> None:
        """Print one line."""
        seconds = int(time.monotonic() - self.started)
        line = f"[{self.name}] {seconds // 60:3}:{seconds % 60:02} {state}"
        print(line[:_WIDTH], flush=True)

    @property
    def last_line(self) -> str:
        """The last line of the log that says anything."""
        text = self.log.read_bytes()[-4096:].decode(errors="replace")
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "started")


def main() -> int:
    """Run what the command line names; 1 where any tier failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tiers", nargs="+", metavar="TIER", help="e2e, node, faults, or unit")
    names = parser.parse_args().tiers
    _LOGS.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    print(f"==> {', '.join(names)} at the same time; their logs are {_LOGS}/NAME.log", flush=True)
    running: list[Tier] = []
    failed: list[Tier] = []
    try:
        running += [Tier.start(name) for name in names]
        _watch(running, failed)
    except KeyboardInterrupt:
        _interrupt(running)
        return 130
    for tier in failed:
        print(f"\n==> {tier.name} failed; its log:", flush=True)
        sys.stdout.buffer.write(tier.log.read_bytes())
        sys.stdout.flush()
    if failed:
        print(f"\n==> failed: {', '.join(tier.name for tier in failed)}", flush=True)
    return 1 if failed else 0


def _before_exec() -> Callable[[], None]:
    """What a tier does before it becomes make: it will end with this process, and can be interrupted."""
    end_with_parent = die_with_parent(signal.SIGTERM)  # Which make hands on to what it runs.

    def arrange() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # A shell's background jobs ignore it.
        end_with_parent()

    return arrange


def _watch(running: list[Tier], failed: list[Tier]) -> None:
    """Wait for all of them, and take out what has ended."""
    shown = time.monotonic()
    while running:
        for tier in [tier for tier in running if tier.process.poll() is not None]:
            running.remove(tier)
            if tier.process.returncode:
                failed.append(tier)
            tier.report(f"FAILED: {tier.last_line}" if tier.process.returncode else f"passed: {tier.last_line}")
        if time.monotonic() - shown >= _BEAT:
            shown = time.monotonic()
            for tier in running:
                tier.report(tier.last_line)
        time.sleep(0.2)


def _interrupt(running: list[Tier]) -> None:
    """End them as Ctrl-C would, so that they clean up, and wait for it."""
    for tier in running:
        tier.report("is interrupted and cleans up")
        os.killpg(tier.process.pid, signal.SIGINT)
    for tier in running:
        tier.process.wait()


if __name__ == "__main__":
    sys.exit(main())
