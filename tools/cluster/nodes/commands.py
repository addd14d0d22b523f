"""Short commands that must work, and the system's tools that nodes need.

They come from the system's packages and are installed where they are missing, as root, and said so. A node's own
programs are not the system's, see `recipe_node_programs`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.cluster.errors import ClusterError

__all__ = ["ensure_programs", "has_own_network", "missing_packages", "obstacle", "run"]

_PACKAGES = {
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
_SYSTEM_PATH = "/usr/sbin:/sbin"


def run(command: Sequence[str], *, timeout: float = 30) -> str:
    """What a command prints; raises ClusterError, with what it said, when it fails or takes longer."""
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ClusterError(f"{' '.join(command)}: {exc}") from exc
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)} failed with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def has_own_network(pid: int) -> bool:
    """Whether a process is in another network namespace than this one already."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino != Path("/proc/self/ns/net").stat().st_ino


def obstacle() -> str | None:
    """Why this machine cannot have nodes; None where it can, once the missing programs are installed."""
    if os.geteuid() != 0:
        return "nodes are namespaces, mounts and control groups, which only root can make"
    if not any(os.access(path, os.W_OK) for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory")):
        return "there are no control groups in /sys/fs/cgroup that can be changed"
    try:
        run(["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "true"])
    except ClusterError as exc:
        return f"namespaces cannot be made ({exc})"
    if missing_packages() and shutil.which("apt-get") is None:
        return f"not installed, and there is no apt-get: {', '.join(missing_packages())}"
    return None


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not there."""
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    return sorted({package for program, package in _PACKAGES.items() if shutil.which(program, path=path) is None})


def ensure_programs() -> None:
    """Install what is missing; raises ClusterError where that is not possible."""
    if problem := obstacle():
        raise ClusterError(f"no nodes on this machine: {problem}")
    missing = missing_packages()
    if not missing:
        return
    from tools.cluster.apt import PrivateApt
    from tools.cluster.progress import StepLog

    progress = StepLog("nodes", 1)
    progress.step(f"installing {', '.join(missing)} on this system")
    with tempfile.TemporaryDirectory() as directory:
        apt = PrivateApt.from_system(Path(directory) / "apt", progress, Path(directory) / "apt.log")
        apt.update()
        apt.install(missing)
