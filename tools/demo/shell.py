"""Runs commands exactly as they are shown, and asks the API server without showing it.

What stands behind a `$` on the screen is the text that bash got. Not responsible for what is asked or shown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tools.cluster import Cluster, ClusterError
from tools.cluster.handle import find_kubectl
from tools.demo.errors import DemoError
from tools.demo.screen import Screen

__all__ = ["NAMESPACE", "REPOSITORY", "Invocation", "Shell", "Site", "absent", "get", "until"]

NAMESPACE: Final = "runners"
REPOSITORY: Final = Path(__file__).parents[2]
_SECONDS: Final = 120.0
_POLL: Final = 0.1


@dataclass(frozen=True)
class Invocation:
    """An argument list, the directory it runs in, and the user (uid, gid) it runs as; None means our own."""

    argv: Sequence[str]
    directory: Path = REPOSITORY
    user: tuple[int, int] | None = None


class Site(Protocol):
    """Where the directories are: this machine, or the node of a kind cluster."""

    storage_root: str
    quarantine_root: str
    opened: str
    cluster: Cluster

    def install(self) -> None:
        """Definition, rights and storage class; the operator itself too where it runs in the cluster."""

    def start_operator(self) -> None:
        """Run the operator, and return when it is ready."""

    def apply_samples(self) -> None:
        """Apply manifests/samples."""

    def inside(self, directory: str, script: str, user: tuple[int, int] | None = None) -> Invocation:
        """How a script of bash runs in a directory of the storage or quarantine volume."""

    def operator_log(self) -> str:
        """The last lines that the operator logged."""


class Shell:
    """Commands on this machine, with KUBECONFIG set to the demo's cluster."""

    def __init__(self, screen: Screen, kubeconfig: Path) -> None:
        self.screen = screen
        kubectl = find_kubectl()
        self.kubectl_directory = kubectl.parent
        self.has_kubectl = shutil.which("kubectl") is not None
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "PATH": f"{kubectl.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def show(self, text: str, why: str, stdin: str | None = None, seconds: float = _SECONDS) -> str:
        """Show a command, run it and show its output; `why` explains it when it takes long.

        Raises:
            DemoError: it failed.
        """
        self.screen.command(text)
        output = self.run(Invocation(["bash", "-o", "pipefail", "-c", text]), why, stdin, seconds)
        self.screen.output(output)
        return output

    def run(self, invocation: Invocation, why: str, stdin: str | None = None, seconds: float = _SECONDS) -> str:
        """Run a command silently; returns what it printed.

        Raises:
            DemoError: it failed or took too long; the message is what it said.
        """
        user, group = invocation.user or (None, None)
        with self.screen.waiting(why):
            try:
                done = subprocess.run(
                    invocation.argv,
                    cwd=invocation.directory,
                    env=self._environment,
                    user=user,
                    group=group,
                    extra_groups=None if user is None else (),
                    input=stdin,
                    stdin=subprocess.DEVNULL if stdin is None else None,
                    capture_output=True,
                    text=True,
                    errors="backslashreplace",
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired as exc:
                raise DemoError(f"{invocation.argv[-1]}: no end after {seconds:g} s") from exc
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise DemoError(f"{invocation.argv[-1]}\nfailed with status {done.returncode}: {said}")
        return done.stdout


def get(cluster: Cluster, *what: str) -> dict[str, Any]:
    """One object, or a list, as the API server has it now."""
    answer: dict[str, Any] = json.loads(cluster.kubectl("get", *what, "-o", "json").stdout)
    return answer


def absent(cluster: Cluster, *what: str) -> bool:
    """Whether the API server says that an object does not exist."""
    return not cluster.kubectl("get", *what, "--ignore-not-found", "-o", "name").stdout.strip()


def until(screen: Screen, what: str, probe: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until `probe` is true.

    Raises:
        DemoError: it was not in time.
    """
    end = time.monotonic() + seconds
    with screen.waiting(f"waiting until {what}"):
        while True:
            try:
                if probe():
                    return
                last = "not yet"
            except ClusterError as exc:
                last = str(exc)
            if time.monotonic() > end:
                raise DemoError(f"waited {seconds:g} s in vain until {what}: {last}")
            time.sleep(_POLL)
