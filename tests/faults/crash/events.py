"""What can happen at a call: nothing, an error, a death, half a write, or whatever a test does just before it.

An event is asked at every counted call and answers with the call's fate. Each happens once.
"""

import ctypes
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from tests.faults.crash import seccomp
from tests.faults.crash.calls import WRITES, Call

if TYPE_CHECKING:
    from tests.faults.crash.supervisor import Run

_PIDFD_GETFD: Final = 438


class Kind(Enum):
    """The fates of a call."""

    LET = auto()
    FAIL = auto()
    FEIGN = auto()
    DIE = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """A fate, with the errno of a failure or the result of a feigned call."""

    kind: Kind
    value: int = 0


LET: Final = Answer(Kind.LET)
DIE: Final = Answer(Kind.DIE)


@dataclass(frozen=True, slots=True)
class Moment:
    """A call that waits: which it is, how many came before it, whose thread it is, and all that happened before."""

    call: Call
    number: int
    thread: int
    run: "Run"


Event = Callable[[Moment], Answer]


def undisturbed(_: Moment) -> Answer:
    """Nothing happens."""
    return LET


def death(at: int) -> Event:
    """Kill -9 just before call number `at`."""
    return lambda moment: DIE if moment.number == at else LET


def torn(at: int) -> Event:
    """Kill -9 in the middle of call number `at`: half of what it writes is written."""

    def event(moment: Moment) -> Answer:
        if moment.number != at:
            return LET
        if moment.call.name in WRITES:
            _write_half(moment)
        return DIE

    return event


def failure(at: int, code: int) -> Event:
    """Call number `at` fails with an errno."""
    return lambda moment: Answer(Kind.FAIL, code) if moment.number == at else LET


def before(chosen: Callable[[Moment], bool], do: Callable[[Moment], None], answer: Answer = LET) -> Event:
    """At the first chosen call, do something just before it."""
    happened = False

    def event(moment: Moment) -> Answer:
        nonlocal happened
        if happened or not chosen(moment):
            return LET
        happened = True
        do(moment)
        return answer

    return event


def both(first: Event, second: Event) -> Event:
    """Two events; the first that is not a mere `LET` decides."""

    def event(moment: Moment) -> Answer:
        answers = [first(moment), second(moment)]
        return next((answer for answer in answers if answer != LET), LET)

    return event


def _write_half(moment: Moment) -> None:
    """Write half in the victim's place, through a copy of its descriptor; only plain writes can be torn."""
    call = moment.call
    if call.name not in ("write", "pwrite64") or platform.machine() not in ("x86_64", "aarch64"):
        return
    with open(f"/proc/{moment.thread}/status") as status:
        group = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    pidfd = os.pidfd_open(group)
    try:
        copy: int = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, pidfd, int(call.args[0]), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        try:
            data = seccomp.memory(moment.thread, call.args[1], int(call.args[2]) // 2)
            if call.name == "write":
                os.write(copy, data)
            else:
                os.pwrite(copy, data, call.args[3])
        finally:
            os.close(copy)
    finally:
        os.close(pidfd)
