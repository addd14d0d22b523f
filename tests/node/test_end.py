"""A test run that is killed leaves no process, mount or network behind, and the next one removes its directory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tools.cluster import Cluster
from tools.cluster.local import LocalCluster, sweep_sessions
from tools.cluster.nodes.commands import run
from tools.installation.deployment import ROOT
from tools.waiting import eventually

_RUN: Final = """\
import sys
from tools.cluster import session_cluster
with session_cluster("to be killed", nodes=1) as cluster:
    print(cluster.plane.state, flush=True)
    sys.stdin.read()
"""


def namespaces(state: Path) -> set[str]:
    """The process and network namespaces of the node of a cluster."""
    outer = Path(f"/proc/{json.loads((state / 'node-1' / 'node-1.pid').read_text())['pid']}")
    (first,) = (outer / "task" / outer.name / "children").read_text().split()
    return {os.readlink(f"/proc/{first}/ns/{kind}") for kind in ("pid", "net")}


def processes(state: Path, inside: set[str]) -> list[str]:
    """The processes of a cluster: those in its node, and those that name its directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().replace("\0", " ")
            where = {os.readlink(process / "ns" / kind) for kind in ("pid", "net")}
        except OSError:
            continue  # It has just ended.
        if where & inside or str(state) in words:
            found.append(f"{process.name} {words}")
    return found


def mounts(state: Path) -> set[str]:
    """The mounts in whatever namespace that have to do with the directory of a cluster."""
    found = set()
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):  # It has just ended.
            found |= {line for line in table.read_text().splitlines() if str(state) in line}
    return found


def interfaces() -> set[str]:
    """The names of this machine's network interfaces."""
    return {entry["ifname"] for entry in json.loads(run(["ip", "-json", "link", "show"]))}


def test_a_killed_run_leaves_no_process_mount_or_network(cluster: Cluster) -> None:
    if not isinstance(cluster, LocalCluster):
        pytest.skip(f"a cluster of {cluster.provider} does not end with the test run")
    before = interfaces()
    with subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        state = Path(process.stdout.readline().strip())
        inside = namespaces(state)
        assert len(processes(state, inside)) > 5
        assert len(interfaces() - before) == 1
        assert mounts(state)
        process.send_signal(signal.SIGKILL)
    eventually(lambda: not processes(state, inside), seconds=20, what="no process is left")
    eventually(lambda: interfaces() <= before, seconds=20, what="no network is left")
    assert not mounts(state)
    sweep_sessions()
    assert not state.exists()
