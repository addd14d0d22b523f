"""The same deaths with strace's fault injection in place of our own: a second pair of eyes on the same calls.

Slower by a factor of twenty, and independent of `seccomp`, `calls` and `supervisor`: it counts system calls by name
in a process that strace started.
"""

import json
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.crash.calls import Call
from tests.faults.crash.campaign import scout
from tests.faults.crash.case import Case
from tests.faults.crash.lives import LIVES
from tests.faults.crash.supervisor import ROOT, Zygote

_LIFE: Final = "quarantine"
_COUNTED: Final = ("mkdirat", "unlinkat", "renameat", "renameat2", "fsync", "ftruncate", "fchmod", "fchown", "pwrite64")
"""Calls that only ever concern the volumes, so that both counts must agree."""


def attempt_all(zygote: Zygote, place: Path, *, every: int) -> Iterator[tuple[str, list[str]]]:
    """Kill a quarantine at every so many of its calls, by name and count."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed (package strace)")
    seen: Counter[str] = Counter()
    calls = [call for call in scout(zygote, place, _LIFE) if call.name in _COUNTED]
    traced = traced_calls(zygote, place)
    counted = Counter(call.name for call in calls)
    differing = {name: (counted[name], traced[name]) for name in _COUNTED if counted[name] != traced[name]}
    yield "counts of calls", [f"seccomp and strace saw {differing}"] if differing else []
    for at, call in enumerate(calls):
        seen[call.name] += 1
        if at % every == 0:
            yield "strace deaths", _attempt(zygote, place, call, seen[call.name])


def traced_calls(zygote: Zygote, place: Path) -> Counter[str]:
    """How many calls of each name strace sees in an undisturbed life."""
    case = Case(place / "traced", LIVES[_LIFE])
    log = place / "strace.log"
    try:
        case.prepare(zygote)
        _live(case, ["-o", str(log), "-e", f"trace={','.join(_COUNTED)}"])
        lines = log.read_text(errors="replace").splitlines()
    finally:
        shutil.rmtree(case.place)
        log.unlink(missing_ok=True)
    return Counter(name for line in lines for name in _COUNTED if f" {name}(" in f" {line.split(maxsplit=1)[-1]}")


def _attempt(zygote: Zygote, place: Path, call: Call, count: int) -> list[str]:
    case = Case(place / "traced", LIVES[_LIFE])
    try:
        case.prepare(zygote)
        inject = f"inject={call.name}:signal=KILL:when={count}"
        _live(case, ["-o", "/dev/null", "-e", f"trace={call.name}", "-e", inject])
        found = case.judge() + case.converge(zygote, calls=False)
    finally:
        shutil.rmtree(case.place)
    return [f"strace {inject}: {violation}" for violation in found]


def _live(case: Case, options: list[str]) -> None:
    """Live a life under strace; its messages go into the case's history."""
    ours, theirs = socket.socketpair()
    job = json.dumps(case.job(case.life.steps) | {"double": False, "reading": False})
    driver = [sys.executable, "-m", "tests.faults.crash.driver", str(theirs.fileno()), "--once", job]
    with subprocess.Popen(["strace", "-f", "-qq", *options, *driver], pass_fds=[theirs.fileno()], cwd=ROOT) as process:
        theirs.close()
        with ours, ours.makefile("rb") as lines:
            for line in lines:
                message: dict[str, Any] = json.loads(line)
                if message.get("ask") == "fill":
                    case.fill(message["who"])
                    ours.send(b".")
                case.hear(message)
        process.wait()
