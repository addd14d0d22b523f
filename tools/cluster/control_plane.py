"""A control plane of plain processes: etcd, kube-apiserver, kube-controller-manager and, for nodes, kube-scheduler.

Starts them in order, waits until each is really ready, restarts single ones for fault tests, ends them.
Not responsible for where the binaries come from, nor for nodes, which are in `nodes`.
"""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.cluster import commands
from tools.cluster.api import Endpoint
from tools.cluster.binaries import Binaries
from tools.cluster.commands import Ports
from tools.cluster.credentials import (
    Credentials,
    authority_data,
    create_credentials,
    kubeconfig,
    write_private,
)
from tools.cluster.errors import ClusterError
from tools.cluster.processes import Lifetime, Process
from tools.cluster.waiting import wait_until

__all__ = ["CONTEXT", "NAMES", "SCHEDULER", "ControlPlane", "Flags", "free_ports"]

CONTEXT = "metrics-storage-local"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")  # in the order of starting
SCHEDULER = "kube-scheduler"


@dataclass(frozen=True)
class Flags:
    """Additional or replaced flags, names without dashes: {"pvclaimbinder-sync-period": "1s"}."""

    apiserver: Mapping[str, str] = field(default_factory=dict)
    controller_manager: Mapping[str, str] = field(default_factory=dict)


class ControlPlane:
    """One control plane whose files are all in `state`, a directory that it owns."""

    def __init__(
        self,
        state: Path,
        binaries: Binaries,
        ports: Ports,
        credentials: Credentials,
        *,
        lifetime: Lifetime,
        flags: Flags,
    ) -> None:
        self.names = (*NAMES, SCHEDULER) if credentials.node_tokens else NAMES
        self.state = state
        self.binaries = binaries
        self.ports = ports
        self.credentials = credentials
        self.kubeconfig = state / "kubeconfig"
        self._lifetime = lifetime
        self._flags = flags
        self._running: dict[str, Process] = {}

    @classmethod
    def launch(
        cls,
        state: Path,
        binaries: Binaries,
        lifetime: Lifetime,
        flags: Flags | None = None,
        *,
        address: str = "127.0.0.1",
        nodes: Sequence[str] = (),
    ) -> ControlPlane:
        """Start a new one in the empty or absent directory `state` and wait until it can be used.

        With the names of `nodes` that are to join, these have users, and there is a scheduler.
        Raises ClusterError, with the end of the guilty log, and leaves no process when that fails.
        """
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports = Ports(address, *free_ports(len(NAMES) + 1))
        credentials = create_credentials(state / "credentials", [address], nodes)
        plane = cls(state, binaries, ports, credentials, lifetime=lifetime, flags=flags or Flags())
        plane._write_kubeconfigs()
        try:
            for name in plane.names:
                plane.start(name)
        except BaseException:
            plane.kill_all()
            raise
        return plane

    def start(self, name: str) -> None:
        """Start one of NAMES and wait until it is ready; nothing happens when it already runs."""
        running = self._running.get(_known(name))
        if running is not None and running.alive():
            return
        process = Process.spawn(name, self._command(name), self.state, self._lifetime)
        self._running[name] = process
        wait_until(f"{name} is ready", self._probe(name), process)

    def stop(self, name: str, *, timeout: float = 10.0) -> None:
        """End one of NAMES in an orderly way, by force after `timeout` seconds.

        The API server of 1.20 waits longer than that while anybody watches. Nothing happens if it is gone.
        """
        process = self._running.pop(_known(name), None)
        if process is not None:
            process.stop(timeout)

    def signal(self, name: str, number: int) -> None:
        """Send a signal (SIGKILL, SIGSTOP, SIGCONT, …) to one of NAMES; `start` brings a killed one back."""
        process = self._running.get(_known(name))
        if process is None:
            raise ClusterError(f"{name} gets no signal {number}: it does not run, start it first")
        process.send(number)

    def kill_all(self) -> None:
        """End all processes at once: what they store is thrown away, so there is nothing to finish."""
        for name in reversed(self.names):
            process = self._running.pop(name, None)
            if process is not None:
                process.stop(kill=True)

    def remove(self) -> None:
        """End all processes and delete the state directory."""
        self.kill_all()
        shutil.rmtree(self.state)

    @property
    def admin(self) -> Endpoint:
        """The API server, as a member of system:masters."""
        return Endpoint(
            self.ports.apiserver, self.credentials.ca_file, self.credentials.admin_token, self.ports.address
        )

    def describe(self) -> dict[str, object]:
        """What `status` tells about it."""
        return {**asdict(self.ports), "version": ".".join(map(str, self.binaries.version))}

    def _write_kubeconfigs(self) -> None:
        for path, token in (
            (self.kubeconfig, self.credentials.admin_token),
            (self._manager_kubeconfig, self.credentials.controller_manager_token),
            (self._scheduler_kubeconfig, self.credentials.scheduler_token),
        ):
            write_private(path, self.kubeconfig_of(token))

    def kubeconfig_of(self, token: str) -> dict[str, Any]:
        """What a kubeconfig holds for the user of a token."""
        return kubeconfig(CONTEXT, self.ports.apiserver_url, authority_data(self.credentials.ca_file), token)

    @property
    def _manager_kubeconfig(self) -> Path:
        return self.credentials.directory / "controller-manager.kubeconfig"

    @property
    def _scheduler_kubeconfig(self) -> Path:
        return self.credentials.directory / "scheduler.kubeconfig"

    def _command(self, name: str) -> list[str]:
        binary = self.binaries.path(name)
        if name == "etcd":
            return commands.etcd(binary, self.state / "etcd", self.ports)
        if name == "kube-apiserver":
            return commands.apiserver(binary, self.credentials, self.ports, self._flags.apiserver)
        if name == SCHEDULER:
            return commands.scheduler(
                binary, self.credentials, self.ports, self._scheduler_kubeconfig, version=self.binaries.version
            )
        return commands.controller_manager(
            binary,
            self.credentials,
            self.ports,
            self._manager_kubeconfig,
            version=self.binaries.version,
            extra=self._flags.controller_manager,
        )

    def _probe(self, name: str) -> Callable[[], bool]:
        if name == "etcd":
            return self._etcd_healthy
        if name == "kube-apiserver":
            return lambda: self.admin.request("GET", "/readyz", timeout=5)[0] == 200
        if name == SCHEDULER:
            return self._scheduler_healthy
        return self._controllers_work

    def _scheduler_healthy(self) -> bool:
        scheduler = Endpoint(self.ports.scheduler, self.credentials.ca_file, token="")
        return scheduler.request("GET", "/healthz", timeout=5)[0] == 200

    def _controllers_work(self) -> bool:
        manager = Endpoint(self.ports.controller_manager, self.credentials.ca_file, token="")
        if manager.request("GET", "/healthz", timeout=5)[0] != 200:
            return False
        # The first thing every namespace needs, and a proof that the controllers can write.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.admin.request("GET", account, timeout=5)[0] == 200

    def _etcd_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.etcd, timeout=5)
        try:
            connection.request("GET", "/health")
            return bool(json.loads(connection.getresponse().read()).get("health") == "true")
        finally:
            connection.close()


def free_ports(count: int) -> list[int]:
    """Different free TCP ports on 127.0.0.1.

    Taken from below the ephemeral range: a port from within it could be given to any outgoing connection
    between this check and the moment when the server binds it.
    """
    chosen: list[int] = []
    for _ in range(1000):
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            # As servers do: a port with connections in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in chosen:
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise ClusterError(f"there are no {count} free TCP ports between 20000 and 32000 on 127.0.0.1")


def _known(name: str) -> str:
    if name not in (*NAMES, SCHEDULER):
        raise ClusterError(f"there is no process {name!r} in a local cluster, only {', '.join((*NAMES, SCHEDULER))}")
    return name
