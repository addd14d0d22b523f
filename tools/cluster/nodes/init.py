"""The first process of a node: `python -m tools.cluster.nodes.init SPEC`, in namespaces that `unshare` made.

Makes the node's view of the file system, waits for its cable, starts containerd and then the kubelet, and ends
when one of them ends. With it the kernel ends everything else in the node.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Spec"]

_TIMEOUT = 60.0


@dataclass(frozen=True)
class Spec:
    """What a node needs to know about itself; paths, commands and addresses."""

    var_lib: str
    var_log: str
    containerd: list[str]
    containerd_socket: str
    kubelet: list[str]
    service_address: str
    api_address: str
    api_port: int
    logs: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Spec:
        return cls(**json.loads(path.read_text()))


def main() -> int:
    """Run the node until one of its programs ends."""
    spec = Spec.read(Path(sys.argv[1]))
    _mount(spec)
    _until("the node has its cable", _has_route)
    _route_service(spec)
    containerd = _start("containerd", spec.containerd, spec)
    _until("containerd answers", lambda: _answers(spec.containerd_socket))
    kubelet = _start("kubelet", spec.kubelet, spec)
    ends = {containerd.pid: "containerd", kubelet.pid: "kubelet"}
    while True:
        # Everybody's orphans end up here, and are reaped like the two.
        pid, status = os.wait()
        if pid in ends:
            print(f"{ends[pid]} ended with status {os.waitstatus_to_exitcode(status)}", flush=True)
            return 1


def _mount(spec: Spec) -> None:
    # Private to the node first, then shared within it: Pods see what is mounted later.
    _run("mount", "--make-rprivate", "/")
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # The kubelet looks for containerd at its usual place, too, and for seconds where it is not.
    Path("/run/containerd").mkdir()
    Path("/run/containerd/containerd.sock").symlink_to(spec.containerd_socket)
    _run("mount", "--bind", spec.var_lib, "/var/lib")
    _run("mount", "--bind", spec.var_log, "/var/log")


def _route_service(spec: Spec) -> None:
    """Who calls the API server by the address of its Service reaches it; there are no other Services."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # Whatever has no route is refused before its destination is translated.
    _run("ip", "route", "add", spec.service_address, "via", spec.api_address)
    for chain in ("PREROUTING", "OUTPUT"):
        _run(
            *("iptables", "--wait", "--table", "nat", "--append", chain),
            *("--destination", spec.service_address, "--protocol", "tcp", "--dport", "443"),
            *("--jump", "DNAT", "--to-destination", f"{spec.api_address}:{spec.api_port}"),
        )


def _has_route() -> bool:
    return any(line.startswith("eth0\t") for line in Path("/proc/net/route").read_text().splitlines())


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _TIMEOUT
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"waited {_TIMEOUT:g} s in vain until {what}")
        time.sleep(0.02)


def _start(name: str, command: list[str], spec: Spec) -> subprocess.Popen[bytes]:
    with Path(spec.logs, f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)


if __name__ == "__main__":
    sys.exit(main())
