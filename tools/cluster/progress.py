"""Says what a long job is doing, while it does it: numbered steps, elapsed seconds, a heartbeat.

Plain lines only, no cursor movement: they read the same on a terminal, in a CI log and under pytest.
Not responsible for what the steps do.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tools.cluster.errors import ClusterError
from tools.cluster.processes import die_with_parent

__all__ = ["StepLog", "last_activity", "tail"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FATAL = re.compile(r"^(Error:|F\d{4} |panic:|fatal error:)")
_VENDORED = re.compile(r"^k8s\.io/kubernetes/vendor/")
_READ_BACK = 64 * 1024  # bytes of a log that are looked at for its end


def tail(log: Path, lines: int = 30) -> str:
    """The last `lines` lines of a log file, or a note that it is empty or absent.

    A fatal error further up is put before them: Kubernetes' programs follow theirs by pages of usage.
    """
    if not log.exists():
        return f"(no log at {log})"
    text = _since(log, 0).splitlines()
    chosen = text[-lines:]
    fatal = next((line for line in reversed(text[:-lines]) if _FATAL.match(line)), None)
    return "\n".join([fatal, "…", *chosen] if fatal else chosen) or f"({log} is empty)"


def last_activity(output: str, width: int = 90) -> str:
    """What a compiler or package manager did last, from its output: the last line that says something."""
    for line in reversed(output.splitlines()):
        text = _VENDORED.sub("", _ANSI.sub("", line).strip())
        if text:
            return text if len(text) <= width else text[: width - 1] + "…"
    return "(no output yet)"


class StepLog:
    """Reports one job of `total` steps to `out` (standard error unless given).

    `heartbeat` is the number of seconds of silence after which a running command is reported again.
    """

    def __init__(self, job: str, total: int, *, out: TextIO | None = None, heartbeat: float = 10.0) -> None:
        self.job = job
        self._total = total
        self._done = 0
        self._heartbeat = heartbeat
        self._started = time.monotonic()
        # Looked up now, not at import: pytest replaces sys.stderr while it captures.
        self._out = out if out is not None else sys.stderr

    @property
    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        print(f"[{self.job}] {self.elapsed:4.0f} s  {text}", file=self._out, flush=True)

    def step(self, text: str) -> None:
        self._done += 1
        self.say(f"step {self._done}/{self._total}: {text}")

    def run(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command with its output appended to `log`, repeating the newest line as a heartbeat.

        Raises ClusterError with the end of the log when the command cannot be run or fails.
        """
        with log.open("ab") as output:
            output.write(f"\n$ {' '.join(argv)}\n".encode())
            output.flush()
            begin = output.tell()
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Safe: see die_with_parent.
                    preexec_fn=die_with_parent(),  # noqa: PLW1509
                )
            except FileNotFoundError as exc:
                raise ClusterError(f"{self.job}: there is no program {argv[0]!r}; install it and try again") from exc
            with process:
                try:
                    while True:
                        try:
                            status = process.wait(timeout=self._heartbeat)
                            break
                        except subprocess.TimeoutExpired:
                            self.say(f"  … {last_activity(_since(log, begin))}")
                except BaseException:
                    process.kill()
                    raise
        if status != 0:
            raise ClusterError(
                f"{self.job}: {' '.join(argv[:3])} … failed with status {status}; the end of {log}:\n{tail(log)}"
            )


def _since(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - _READ_BACK))
        return file.read().decode(errors="replace")
