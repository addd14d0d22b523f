"""Clusters of the provider "local" that stay, in a state directory, until they are taken down."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.cluster.binaries import find_binaries
from tools.cluster.control_plane import CONTEXT, NAMES, SCHEDULER, Flags
from tools.cluster.errors import ClusterError
from tools.cluster.handle import Cluster
from tools.cluster.local import MARKER, launch
from tools.cluster.nodes import control_groups
from tools.cluster.nodes.fabric import HOLDER
from tools.cluster.nodes.node import load_into
from tools.cluster.processes import Process

__all__ = ["down", "load", "state_directory", "status", "up"]


def state_directory() -> Path:
    """Where a detached cluster lives unless told otherwise."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "metrics-storage" / "cluster"


def up(state: Path, reason: str, flags: Flags | None = None, *, nodes: int = 0) -> tuple[Cluster, str]:
    """Start a detached cluster in `state`, or find the one that runs there.

    Returns its handle and a sentence about what was done. What a crash or a reboot left behind is cleaned
    away first. Raises ClusterError when `state` holds something else, or the start fails.
    """
    with _locked(state):
        handle = Cluster("local", state / "kubeconfig", CONTEXT, reason)
        left = _left_in(state)
        if left is not None and left.get("ready") and all(_alive(state, left).values()):
            return handle, "it is already up"
        if left is not None:
            _clean(state)
        binaries = find_binaries()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = state / MARKER
        # First of all, so that whatever happens next, this directory is known as ours.
        marker.write_text(json.dumps({"ready": False}))
        try:
            with contextlib.ExitStack() as stack:
                plane, joined = launch(stack, state, binaries, "detached", flags, nodes)
                marker.write_text(
                    json.dumps({"ready": True, "nodes": [node.name for node in joined], **plane.describe()})
                )
                stack.pop_all()
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
        left = _left_in(state)
        if left is None:
            return "nothing is up"
        running = [name for name, alive in _alive(state, left).items() if alive]
        _clean(state)
        return f"ended {', '.join(running)}" if running else "nothing ran any more, removed what was left"


def status(state: Path) -> tuple[bool, str]:
    """Whether the detached cluster is up, and a text about it."""
    left = _left_in(state)
    if left is None:
        return False, f"not up (no state in {state})"
    alive = _alive(state, left)
    lines = [f"{name}: {'running' if runs else 'not running'}" for name, runs in alive.items()]
    complete = bool(left.get("ready")) and all(alive.values())
    lines.append(
        f"kubeconfig: {state / 'kubeconfig'}" if complete else "incomplete: `up` starts anew, `down` cleans up"
    )
    return complete, "\n".join(lines)


def load(state: Path, archive: Path) -> list[str]:
    """Put an image into every node of a detached cluster; gives the nodes' names.

    Raises ClusterError when none is up, or it has no nodes.
    """
    left = _left_in(state) or {}
    nodes: list[str] = left.get("nodes", [])
    if not nodes or not all(_alive(state, left).values()):
        raise ClusterError(f"no cluster with nodes is up in {state}: `python -m tools.cluster up --nodes=1` starts one")
    for name in nodes:
        load_into(state / name, archive)
    return nodes


def _left_in(state: Path) -> dict[str, Any] | None:
    """The marker's content; None when the directory is absent or empty. Refuses directories of others."""
    try:
        if not any(state.iterdir()):
            return None
        content = json.loads((state / MARKER).read_text())
        return content if isinstance(content, dict) else {}
    except FileNotFoundError:
        if state.exists():
            raise ClusterError(
                f"{state} is not empty and has no {MARKER}: it is not a cluster's state and stays as it is; "
                "choose another directory by --state"
            ) from None
        return None
    except ValueError:
        return {}  # cut off by a crash


def _alive(state: Path, marker: Mapping[str, Any]) -> dict[str, bool]:
    nodes: list[str] = marker.get("nodes", [])
    expected = dict.fromkeys((*NAMES, *((SCHEDULER, HOLDER) if nodes else ())), state)
    expected |= {name: state / name for name in nodes}
    found = {name: Process.find(name, directory) for name, directory in expected.items()}
    return {name: process is not None and process.alive() for name, process in found.items()}


def _clean(state: Path) -> None:
    # Whatever has a pid file, also of a cluster whose start was cut short.
    for pid_file in (*state.glob("node-*/node-*.pid"), *state.glob("*.pid")):
        process = Process.find(pid_file.stem, pid_file.parent)
        if process is not None:
            process.stop(kill=True)
    control_groups.sweep(state)
    shutil.rmtree(state)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time; the lock is on the directory above, for this one comes and goes."""
    state.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(state.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
