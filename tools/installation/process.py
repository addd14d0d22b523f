"""The operator as a process of its own, as the image runs it: started, stopped, killed, started again."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster.processes import die_with_parent
from tools.waiting import eventually

NODE = "node-1"


def free_port() -> int:
    """A TCP port on the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class OperatorProcess:
    """`metrics-storage run` on two directories, with the rights of the shipped service account."""

    kubeconfig: Path
    directory: Path
    flags: tuple[str, ...] = ("--sweep-interval=1",)
    port: int = field(default_factory=free_port)
    log_name: str = "operator.log"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def storage_root(self) -> Path:
        """The storage volume."""
        return self.directory / "storage"

    @property
    def quarantine_root(self) -> Path:
        """The quarantine volume."""
        return self.directory / "quarantine"

    @property
    def log(self) -> str:
        """Everything it logged, over all its lives."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def start(self, *, wait: bool = True) -> None:
        """Start it, and unless told otherwise wait until it is ready."""
        command = [
            *(sys.executable, "-m", "metrics_storage", *self._arguments()),
            f"--health-address=127.0.0.1:{self.port}",
            *self.flags,
        ]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - nothing but one system call.
            )
        if wait:
            self.wait_ready()

    def _arguments(self) -> tuple[str, ...]:
        """The command and the flags that it needs."""
        for root in (self.storage_root, self.quarantine_root):
            root.mkdir(parents=True, exist_ok=True)
        return (
            "run",
            f"--storage-root={self.storage_root}",
            f"--quarantine-root={self.quarantine_root}",
            f"--volume-source=hostpath:{self.storage_root}",
            f"--node-name={NODE}",
        )

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        eventually(lambda: self.probe("readyz") == 200 or self._has_died(), seconds=30, what="the operator is ready")

    def probe(self, name: str) -> int:
        """HTTP status of a probe, 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code
        except OSError:
            return 0

    def stop(self) -> int:
        """Ask it to end, wait, and give its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to do anything, as a power cut would."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def _log_file(self) -> Path:
        return self.directory / self.log_name

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(timeout=30)
        self._process = None
        return code

    def _has_died(self) -> bool:
        if not self.running:
            raise AssertionError(f"the operator ended by itself:\n{self.log[-3000:]}")
        return False
