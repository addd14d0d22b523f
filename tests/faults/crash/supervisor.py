"""Running a life under watch: every call that changes a volume is seen before it happens, and its fate decided.

Knows the driver only as a process behind a socket. Which fate is met where comes from `events`; what the calls
mean is judged elsewhere.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.faults.crash import calls, seccomp
from tests.faults.crash.calls import Call
from tests.faults.crash.events import Answer, Event, Kind, Moment, undisturbed

ROOT: Final = Path(__file__).parents[3]
_TIMEOUT: Final = 60.0
"""Seconds after which a life that is still going on counts as hung."""


@dataclass(slots=True)
class Run:
    """What a life did until its end: the calls, what it said between them, and how it ended.

    `said` holds pairs of how many calls there had been and a message of the driver.
    """

    calls: list[Call] = field(default_factory=list)
    said: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    foreign: list[Call] = field(default_factory=list)
    """Calls that change something which is on no volume."""
    ended: bool = False
    """It lived to its end; otherwise it died or gave up."""
    died: bool = False
    hung: bool = False

    @property
    def errors(self) -> list[str]:
        """What steps failed with."""
        return [str(message["error"]) for _, message in self.said if message.get("state") == "failed"]


Observer = Callable[[Run, Call], None]
"""Told of every call that will be let through, before it happens."""


class Zygote:
    """A driver that is ready to live lives; a context manager that ends it and all it started."""

    def __init__(self, *, mutant: str | None = None, double: bool = False) -> None:
        self.double = double
        self.name = mutant or ("naive engine" if double else "engine")
        self._mutant = mutant

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.faults.crash.driver", str(theirs.fileno())]
        if self._mutant:
            command += ["--mutant", self._mutant]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, cwd=ROOT)
        theirs.close()
        self._requests = ours
        if ours.recv(16) != b"ready":
            self.__exit__(None, None, None)
            raise RuntimeError(f"the driver of {self.name} did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.close()
        self._process.kill()
        self._process.wait()

    def run(
        self,
        job: dict[str, Any],
        *,
        fill: Callable[[int], None],
        event: Event = undisturbed,
        reading: bool = False,
    ) -> Run:
        """Live one life; returns when its process is gone for good, descriptors, locks and all."""
        ours, theirs = socket.socketpair()
        job = job | {"double": self.double, "reading": reading}
        socket.send_fds(self._requests, [json.dumps(job).encode()], [theirs.fileno()])
        theirs.close()
        with ours, _Watch(ours, (job["storage"], job["quarantine"]), fill, event, reading=reading) as watch:
            return watch.until_the_end()


class _Watch:
    """The supervision of one process."""

    def __init__(
        self,
        channel: socket.socket,
        volumes: Sequence[str],
        fill: Callable[[int], None],
        event: Event,
        *,
        reading: bool,
    ) -> None:
        self._channel = channel
        self._volumes = tuple(volumes)
        self._fill = fill
        self._event = event
        self._reading = reading
        self._run = Run()
        data, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
        self._pid: int = json.loads(data)["pid"]
        self._listener = descriptors[0]
        self._pidfd = os.pidfd_open(self._pid)
        self._rest = b""
        channel.send(b".")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        os.close(self._listener)
        os.close(self._pidfd)

    def until_the_end(self) -> Run:
        poll = select.poll()
        for fd in (self._channel.fileno(), self._listener, self._pidfd):
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + _TIMEOUT
        while True:
            ready = dict(poll.poll(1000))
            # What was said came before the call that waits.
            if ready.get(self._channel.fileno(), 0):
                self._listen()
                if ready[self._channel.fileno()] & select.POLLHUP:
                    poll.unregister(self._channel.fileno())
            if ready.get(self._listener, 0) & select.POLLIN:
                self._decide()
            elif ready.get(self._listener, 0):
                poll.unregister(self._listener)
            if ready.get(self._pidfd):
                self._listen()
                return self._run
            if time.monotonic() > deadline:
                self._run.hung = True
                self._kill()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self._channel.recv(1 << 16, socket.MSG_DONTWAIT):
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("ask") == "fill":
            self._fill(message["who"])
            self._channel.send(b".")
        elif message.get("end"):
            self._run.ended = True
        self._run.said.append((len(self._run.calls), message))

    def _next(self) -> tuple[seccomp.Notification, Call] | None:
        """A call that waits; None where its thread has died, as another one's does when one is killed in its call."""
        notification = seccomp.receive(self._listener)
        if notification is None or self._run.died:
            return None
        try:
            call = calls.look(notification)
        except (OSError, struct.error):
            if seccomp.still_waits(self._listener, notification):
                raise
            return None
        return (notification, call) if seccomp.still_waits(self._listener, notification) else None

    def _decide(self) -> None:
        if (found := self._next()) is None:
            return
        notification, call = found
        answer = Answer(Kind.LET)
        if any(_below(path, volume) for path in call.paths for volume in self._volumes):
            if call.changes or self._reading:
                number = len(self._run.calls)
                answer = self._event(Moment(call, number, notification.pid, self._run))
                call.done = answer.kind is Kind.LET
                self._run.calls.append(call)
        elif call.changes and call.path.startswith("/") and not call.path.startswith(("/dev/", "/proc/")):
            self._run.foreign.append(call)
        match answer.kind:
            case Kind.LET:
                seccomp.let_through(self._listener, notification)
            case Kind.FAIL:
                seccomp.fail(self._listener, notification, answer.value)
            case Kind.FEIGN:
                seccomp.feign(self._listener, notification, answer.value)
            case Kind.DIE:
                self._run.died = True
                self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _below(path: str, volume: str) -> bool:
    return path == volume or path.startswith(volume + "/")
