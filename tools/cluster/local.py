"""The provider "local": a cluster of processes, for one test session.

It lives in a temporary directory and dies with the process that started it. Clusters that stay are in `detached`.
Not responsible for the processes' flags.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.cluster.binaries import Binaries, find_binaries, node_programs
from tools.cluster.control_plane import CONTEXT, ControlPlane, Flags
from tools.cluster.handle import Cluster
from tools.cluster.nodes import control_groups
from tools.cluster.nodes.commands import ensure_programs
from tools.cluster.nodes.fabric import Fabric
from tools.cluster.nodes.images import write_images
from tools.cluster.nodes.node import ClusterNode, node_name
from tools.cluster.processes import Identity, Lifetime

__all__ = ["MARKER", "LocalCluster", "launch", "session_cluster", "sweep_sessions"]

MARKER = "cluster.json"
"""Says whose a state directory is."""

_SESSION_PREFIX = "metrics-storage-cluster-"


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """A local cluster whose processes can be stopped, started and signalled, one by one."""

    plane: ControlPlane = field(repr=False, compare=False, kw_only=True)
    nodes: tuple[ClusterNode, ...] = field(default=(), repr=False, compare=False, kw_only=True)

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
def session_cluster(reason: str, flags: Flags | None = None, *, nodes: int = 0) -> Iterator[LocalCluster]:
    """A cluster for the time of the `with` block, which even a SIGKILL of this process ends.

    Without nodes nothing runs a Pod.
    """
    sweep_sessions()
    binaries = find_binaries()
    state = Path(tempfile.mkdtemp(prefix=_SESSION_PREFIX))
    try:
        (state / MARKER).write_text(json.dumps({"owner": asdict(Identity.of(os.getpid()))}))
        with contextlib.ExitStack() as stack:
            plane, joined = launch(stack, state, binaries, "session", flags, nodes)
            yield LocalCluster("local", plane.kubeconfig, CONTEXT, reason, plane=plane, nodes=joined)
    finally:
        shutil.rmtree(state)


def launch(
    stack: contextlib.ExitStack, state: Path, binaries: Binaries, lifetime: Lifetime, flags: Flags | None, nodes: int
) -> tuple[ControlPlane, tuple[ClusterNode, ...]]:
    """Start everything in the directory `state`; the stack ends it."""
    if not nodes:
        plane = ControlPlane.launch(state, binaries, lifetime, flags)
        stack.callback(plane.kill_all)
        return plane, ()
    ensure_programs()
    node_programs()
    fabric = Fabric.launch(state, lifetime, nodes)
    stack.callback(fabric.stop)
    names = [node_name(number) for number in range(1, nodes + 1)]
    plane = ControlPlane.launch(state, binaries, lifetime, flags, address=fabric.plan.machine, nodes=names)
    stack.callback(plane.kill_all)
    images = write_images(state / "images")
    joined = [ClusterNode(number, state / name, fabric, lifetime) for number, name in enumerate(names, 1)]
    for node in joined:
        stack.callback(node.stop)
        node.install(plane)
        node.start()
        for image in images:
            node.load_image(image)
    for node in joined:
        node.wait_ready(plane.admin)
    return plane, tuple(joined)


def sweep_sessions() -> None:
    """Remove directories of sessions that were killed; their processes died with them."""
    for state in Path(tempfile.gettempdir()).glob(f"{_SESSION_PREFIX}*"):
        try:
            if state.stat().st_uid != os.getuid():
                continue
            owner = Identity(**json.loads((state / MARKER).read_text())["owner"])
        except (OSError, ValueError, TypeError, KeyError):
            continue  # somebody else's, or a session that is just beginning
        if not owner.alive():
            control_groups.sweep(state)
            shutil.rmtree(state, ignore_errors=True)
