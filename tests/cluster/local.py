"""The provider "local": a control plane of processes, for one test session or detached.

A session's cluster lives in a temporary directory and dies with the process that started it. A detached one
(`up`, `down`) lives in a state directory until it is taken down. Not responsible for the processes' flags.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.binaries import find_binaries
from tests.cluster.control_plane import CONTEXT, NAMES, ControlPlane, Flags
from tests.cluster.errors import ClusterError
from tests.cluster.handle import Cluster
from tests.cluster.processes import Identity, Process

__all__ = ["LocalCluster", "down", "session_cluster", "state_directory", "status", "up"]

_MARKER = "cluster.json"
_SESSION_PREFIX = "metrics-storage-cluster-"


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """A local cluster whose processes can be stopped, started and signalled, one by one."""

    plane: ControlPlane = field(repr=False, compare=False, kw_only=True)

    def stop(self, name: str, *, timeout: float = 10.0) -> None:
        """End "etcd", "kube-apiserver" or "kube-controller-manager"; by SIGKILL after `timeout` seconds."""
        self.plane.stop(name, timeout=timeout)

    def start(self, name: str) -> None:
        """Start it again, on the same port with the same data, and wait until it is ready."""
        self.plane.start(name)

    def signal(self, name: str, number: int) -> None:
        """Send it a signal, e.g. signal.SIGKILL, or SIGSTOP and SIGCONT for a server that hangs."""
        self.plane.signal(name, number)


@contextlib.contextmanager
def session_cluster(reason: str, flags: Flags | None = None) -> Iterator[LocalCluster]:
    """A cluster for the time of the `with` block, which even a SIGKILL of this process ends."""
    _sweep_sessions()
    binaries = find_binaries()
    state = Path(tempfile.mkdtemp(prefix=_SESSION_PREFIX))
    try:
        (state / _MARKER).write_text(json.dumps({"owner": asdict(Identity.of(os.getpid()))}))
        plane = ControlPlane.launch(state, binaries, "session", flags)
        try:
            yield LocalCluster("local", plane.kubeconfig, CONTEXT, reason, plane=plane)
        finally:
            plane.kill_all()
    finally:
        shutil.rmtree(state)


def state_directory() -> Path:
    """Where a detached cluster lives unless told otherwise."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "metrics-storage" / "cluster"


def up(state: Path, reason: str, flags: Flags | None = None) -> tuple[Cluster, str]:
    """Start a detached cluster in `state`, or find the one that runs there.

    Returns its handle and a sentence about what was done. What a crash or a reboot left behind is cleaned
    away first. Raises ClusterError when `state` holds something else, or the start fails.
    """
    with _locked(state):
        handle = Cluster("local", state / "kubeconfig", CONTEXT, reason)
        left = _left_in(state)
        if left is not None and left.get("ready") and all(_alive(state).values()):
            return handle, "it is already up"
        if left is not None:
            _clean(state)
        binaries = find_binaries()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = state / _MARKER
        # First of all, so that whatever happens next, this directory is known as ours.
        marker.write_text(json.dumps({"ready": False}))
        try:
            plane = ControlPlane.launch(state, binaries, "detached", flags)
            marker.write_text(json.dumps({"ready": True, **plane.describe()}))
        except BaseException:
            _clean(state)
            raise
        return (
            handle,
            "started" if left is None else "cleaned up what was left of an earlier one, and started",
        )


def down(state: Path) -> str:
    """End a detached cluster and delete its state; says what was done."""
    with _locked(state):
        if _left_in(state) is None:
            return "nothing is up"
        running = [name for name, alive in _alive(state).items() if alive]
        _clean(state)
        return f"ended {', '.join(running)}" if running else "nothing ran any more, removed what was left"


def status(state: Path) -> tuple[bool, str]:
    """Whether the detached cluster is up, and a text about it."""
    left = _left_in(state)
    if left is None:
        return False, f"not up (no state in {state})"
    alive = _alive(state)
    lines = [f"{name}: {'running' if runs else 'not running'}" for name, runs in alive.items()]
    complete = bool(left.get("ready")) and all(alive.values())
    lines.append(
        f"kubeconfig: {state / 'kubeconfig'}" if complete else "incomplete: `up` starts anew, `down` cleans up"
    )
    return complete, "\n".join(lines)


def _left_in(state: Path) -> dict[str, object] | None:
    """The marker's content; None when the directory is absent or empty. Refuses directories of others."""
    try:
        if not any(state.iterdir()):
            return None
        content = json.loads((state / _MARKER).read_text())
        return content if isinstance(content, dict) else {}
    except FileNotFoundError:
        if state.exists():
            raise ClusterError(
                f"{state} is not empty and has no {_MARKER}: it is not a cluster's state and stays as it is; "
                "choose another directory by --state"
            ) from None
        return None
    except ValueError:
        return {}  # cut off by a crash


def _alive(state: Path) -> dict[str, bool]:
    found = {name: Process.find(name, state) for name in NAMES}
    return {name: process is not None and process.alive() for name, process in found.items()}


def _clean(state: Path) -> None:
    for name in reversed(NAMES):
        process = Process.find(name, state)
        if process is not None:
            process.stop(kill=True)
    shutil.rmtree(state)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time; the lock lies beside the directory, which comes and goes."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with (state.parent / f"{state.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep_sessions() -> None:
    """Remove directories of sessions that were killed; their processes died with them."""
    for state in Path(tempfile.gettempdir()).glob(f"{_SESSION_PREFIX}*"):
        try:
            if state.stat().st_uid != os.getuid():
                continue
            owner = Identity(**json.loads((state / _MARKER).read_text())["owner"])
        except (OSError, ValueError, TypeError, KeyError):
            continue  # somebody else's, or a session that is just beginning
        if not owner.alive():
            shutil.rmtree(state, ignore_errors=True)
