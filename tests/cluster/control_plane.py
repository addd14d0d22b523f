"""A control plane of plain processes on 127.0.0.1: etcd, kube-apiserver, kube-controller-manager.

Starts them in order, waits until each is really ready, restarts single ones for fault tests, ends them.
Not responsible for where the binaries come from, nor for nodes: nothing here runs a Pod.
"""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster import commands
from tests.cluster.api import Endpoint
from tests.cluster.binaries import Binaries
from tests.cluster.commands import Ports
from tests.cluster.credentials import (
    Credentials,
    authority_data,
    create_credentials,
    kubeconfig,
    write_private,
)
from tests.cluster.errors import ClusterError
from tests.cluster.processes import Lifetime, Process
from tests.cluster.progress import tail

__all__ = ["CONTEXT", "NAMES", "ControlPlane", "Flags", "free_ports", "wait_until"]

CONTEXT = "metrics-storage-local"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")  # in the order of starting
READY_SECONDS = 60.0


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
        self.state = state
        self.binaries = binaries
        self.ports = ports
        self.credentials = credentials
        self.kubeconfig = state / "kubeconfig"
        self._lifetime = lifetime
        self._flags = flags
        self._running: dict[str, Process] = {}

    @classmethod
    def launch(cls, state: Path, binaries: Binaries, lifetime: Lifetime, flags: Flags | None = None) -> ControlPlane:
        """Start a new one in the empty or absent directory `state` and wait until it can be used.

        Raises ClusterError, with the end of the guilty log, and leaves no process when that fails.
        """
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports = Ports(*free_ports(len(NAMES)))
        credentials = create_credentials(state / "credentials")
        plane = cls(state, binaries, ports, credentials, lifetime=lifetime, flags=flags or Flags())
        plane._write_kubeconfigs()
        try:
            for name in NAMES:
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
        for name in reversed(NAMES):
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
        return Endpoint(self.ports.apiserver, self.credentials.ca_file, self.credentials.admin_token)

    def describe(self) -> dict[str, object]:
        """What `status` tells about it."""
        return {**asdict(self.ports), "version": ".".join(map(str, self.binaries.version))}

    def _write_kubeconfigs(self) -> None:
        authority = authority_data(self.credentials.ca_file)
        for path, token in (
            (self.kubeconfig, self.credentials.admin_token),
            (self._manager_kubeconfig, self.credentials.controller_manager_token),
        ):
            write_private(path, kubeconfig(CONTEXT, self.ports.apiserver_url, authority, token))

    @property
    def _manager_kubeconfig(self) -> Path:
        return self.credentials.directory / "controller-manager.kubeconfig"

    def _command(self, name: str) -> list[str]:
        binary = self.binaries.path(name)
        if name == "etcd":
            return commands.etcd(binary, self.state / "etcd", self.ports)
        if name == "kube-apiserver":
            return commands.apiserver(binary, self.credentials, self.ports, self._flags.apiserver)
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
        return self._controllers_work

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


def wait_until(what: str, probe: Callable[[], bool], process: Process, seconds: float = READY_SECONDS) -> None:
    """Wait until `probe` is true; refused connections and unfinished answers count as not yet.

    Raises ClusterError with the end of the log as soon as the process has ended or the time is over.
    """
    end = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if probe():
                return
        except ssl.SSLCertVerificationError as exc:
            raise ClusterError(f"{what}: {exc}; another server may have taken its port") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            last = exc
        if not process.alive():
            raise ClusterError(
                f"{process.name} ended instead of serving; the end of {process.log}:\n{tail(process.log)}"
            )
        if time.monotonic() > end:
            raise ClusterError(
                f"waited {seconds:g} s in vain until {what} (last: {last}); the end of {process.log}:\n"
                f"{tail(process.log)}"
            )
        time.sleep(0.05)


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
    if name not in NAMES:
        raise ClusterError(f"there is no process {name!r} in a local cluster, only {', '.join(NAMES)}")
    return name
