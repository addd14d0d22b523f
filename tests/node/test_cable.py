"""A node's cable, on a network of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.cluster.nodes.commands import has_own_network, run
from tools.cluster.nodes.fabric import Fabric
from tools.waiting import eventually

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)"


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Fabric]:
    """A network without nodes."""
    fabric = Fabric.launch(tmp_path, "session", 1)
    yield fabric
    fabric.stop()


@contextmanager
def network() -> Iterator[int]:
    """A network namespace, as the pid of a process in it."""
    with subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"]) as process:
        try:
            eventually(lambda: has_own_network(process.pid), seconds=10, what="there is a namespace")
            yield process.pid
        finally:
            process.kill()


def test_a_node_gets_a_cable_while_the_kernel_still_keeps_its_old_one(fabric: Fabric) -> None:
    with network() as pid:
        fabric.connect(pid, 1)
        kept = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with network() as pid:
            fabric.connect(pid, 1)
            with socket.create_server((fabric.plan.machine, 0)) as server:
                port = str(server.getsockname()[1])
                inside = ["nsenter", "--net", "--target", str(pid), "--"]
                run([*inside, sys.executable, "-c", CONNECT, fabric.plan.machine, port])
    finally:
        os.close(kept)
