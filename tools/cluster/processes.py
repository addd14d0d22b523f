"""Starting, recognising and ending the processes of a local cluster.

Two lifetimes: "session" children are killed by the kernel when the thread that started them ends, even
by SIGKILL; "detached" ones outlive their starter and are found again by a pid file, which is believed only
while boot, pid and start time all match. Not responsible for what the processes are or when they are ready.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tools.cluster.errors import ClusterError

__all__ = ["Identity", "Lifetime", "Process", "die_with_parent"]

Lifetime = Literal["session", "detached"]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A preexec_fn with which the kernel kills the child, by signal `number`, once its parent is gone.

    The signal is tied to the parent *thread* (prctl(2)), so only the main thread may start such children:
    a worker thread that ends would take the API server with it. Raises ClusterError elsewhere. Safe beside
    other threads: between fork and exec it takes no lock and imports nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ClusterError(
            f"thread {threading.current_thread().name!r} may not start cluster processes, they would die "
            "with it: start them from the main thread"
        )
    parent = os.getpid()

    def arrange() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died between fork and prctl: no signal will come
            os._exit(1)

    return arrange


@dataclass(frozen=True)
class Identity:
    """One process of one boot: a pid alone may meanwhile belong to somebody else."""

    boot: str
    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/<pid>/stat

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a running process; raises ProcessLookupError when there is none."""
        state = _stat(pid)
        if state is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(boot=_boot_id(), pid=pid, started=state[1])

    def alive(self) -> bool:
        """True while exactly this process runs; a zombie has already ended."""
        state = _stat(self.pid)
        return state is not None and state[0] not in "ZX" and state[1] == self.started and self.boot == _boot_id()

    def send(self, number: int) -> bool:
        """Signal exactly this process; False when it has gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Checked after the descriptor is held: from here on the pid cannot be given to another process.
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def wait_gone(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; False when it still runs."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():
                return True
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            return bool(poller.poll(timeout * 1000))
        finally:
            os.close(descriptor)


class Process:
    """A named process with its log and its pid file, both in `directory`."""

    def __init__(self, name: str, directory: Path, identity: Identity, child: subprocess.Popen[bytes] | None) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.identity = identity
        self._pid_file = directory / f"{name}.pid"
        self._child = child  # to be reaped; None when found by its pid file

    @classmethod
    def spawn(
        cls,
        name: str,
        argv: Sequence[str],
        directory: Path,
        lifetime: Lifetime,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start it in a session of its own, so that Ctrl-C at the terminal reaches only its owner."""
        with (directory / f"{name}.log").open("ab") as log:
            try:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                    # Safe: see die_with_parent.
                    preexec_fn=die_with_parent() if lifetime == "session" else None,  # noqa: PLW1509
                )
            except OSError as exc:
                raise ClusterError(f"{name}: cannot run {argv[0]}: {exc}") from exc
        process = cls(name, directory, Identity.of(child.pid), child)
        process._pid_file.write_text(json.dumps(asdict(process.identity)))
        return process

    @classmethod
    def find(cls, name: str, directory: Path) -> Process | None:
        """What the pid file names, running or not; None when there is no readable pid file."""
        try:
            identity = Identity(**json.loads((directory / f"{name}.pid").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return cls(name, directory, identity, None)

    def alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self.identity.alive()

    def send(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self.identity.send(number)

    def stop(self, timeout: float = 10.0, *, kill: bool = False) -> None:
        """End it and wait until it is gone: SIGTERM and, after `timeout` seconds, SIGKILL (`kill`: at once).

        Raises ClusterError when it survives even that.
        """
        end = time.monotonic() + timeout
        numbers = [signal.SIGKILL] if kill else [signal.SIGTERM, signal.SIGKILL]
        for number in numbers:
            # A stopped process (SIGSTOP) does not act on SIGTERM before it continues.
            if self.identity.send(number) and number == signal.SIGTERM:
                self.identity.send(signal.SIGCONT)
            if self._gone(max(1.0, end - time.monotonic())):
                with contextlib.suppress(FileNotFoundError):
                    self._pid_file.unlink()
                return
        raise ClusterError(f"{self.name}: process {self.identity.pid} does not end, even by SIGKILL")

    def _gone(self, timeout: float) -> bool:
        if self._child is None:
            return self.identity.wait_gone(timeout)
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process; None when it does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in parentheses, may itself contain blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
