"""One node: its files, its process, and what tests do to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

from tools.cluster.api import Endpoint
from tools.cluster.binaries import node_programs
from tools.cluster.commands import with_flags
from tools.cluster.control_plane import ControlPlane
from tools.cluster.credentials import SERVICE_ADDRESS, write_private
from tools.cluster.errors import ClusterError
from tools.cluster.nodes import config, init
from tools.cluster.nodes.commands import has_own_network, run
from tools.cluster.nodes.config import NodePaths
from tools.cluster.nodes.control_groups import ControlGroup
from tools.cluster.nodes.fabric import Fabric
from tools.cluster.processes import Identity, Lifetime, Process
from tools.cluster.waiting import wait_until

__all__ = ["ClusterNode", "load_into", "node_name"]

_REPOSITORY = Path(__file__).parents[3]
_TIMEOUT = 20.0


class ClusterNode:
    """Node 1, 2, … of a local cluster. Its state directory lies in the cluster's, and has its name."""

    def __init__(self, number: int, state: Path, fabric: Fabric, lifetime: Lifetime) -> None:
        self.name = node_name(number)
        self.paths = NodePaths(state)
        self._number = number
        self._fabric = fabric
        self._lifetime: Lifetime = lifetime
        self._process: Process | None = None

    @property
    def var_lib(self) -> Path:
        """The node's /var/lib, as this machine sees it."""
        return self.paths.var_lib

    def install(self, plane: ControlPlane) -> None:
        """Write everything that its programs read, to join this control plane."""
        paths, plan, credentials = self.paths, self._fabric.plan, plane.credentials
        for directory in (paths.var_lib, paths.var_log, paths.config / "cni", paths.config / "volume-plugins"):
            directory.mkdir(parents=True)
        programs = node_programs()
        (paths.config / "containerd.toml").write_text(config.containerd(paths, programs))
        (paths.config / "cni" / "10-pods.conflist").write_text(json.dumps(config.cni(plan.pods(self._number))))
        settings = config.kubelet(paths, credentials.ca_file, self._control_group.path)
        (paths.config / "kubelet.json").write_text(json.dumps(settings))
        write_private(paths.config / "kubeconfig", plane.kubeconfig_of(credentials.node_tokens[self.name]))
        flags = config.kubelet_flags(paths, self.name, plan.node(self._number))
        init.Spec(
            var_lib=str(paths.var_lib),
            var_log=str(paths.var_log),
            containerd=[f"{programs}/containerd", f"--config={paths.config}/containerd.toml"],
            containerd_socket=str(paths.socket),
            kubelet=with_flags(plane.binaries.path("kubelet"), flags, {}),
            service_address=SERVICE_ADDRESS,
            api_address=plan.machine,
            api_port=plane.ports.apiserver,
            logs=str(paths.state),
        ).write(self._spec)

    def start(self) -> None:
        """Start it; returns when its containerd answers. Nothing happens when it runs already."""
        if self._process is not None and self._process.alive():
            return
        with contextlib.suppress(FileNotFoundError):
            self.paths.socket.unlink()
        self._control_group.make()
        # `kill-child` and not a signal to the first process itself, which would ignore it: it is the node's init.
        unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "--"]
        command = [*unshare, sys.executable, "-m", "tools.cluster.nodes.init", str(self._spec)]
        # containerd finds its shim and runc by PATH.
        path = f"{node_programs()}:{os.environ['PATH']}:/usr/sbin:/sbin"
        environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY), "PATH": path}
        process = Process.spawn(self.name, command, self.paths.state, self._lifetime, environment)
        self._process = process
        wait_until(f"{self.name} has namespaces", lambda: has_own_network(_child(process)), process)
        self._fabric.connect(_child(process), self._number)
        wait_until(f"containerd of {self.name} answers", self._containerd_answers, process)

    def wait_ready(self, api: Endpoint) -> None:
        """Wait until the API server says for the first time that it is ready."""
        assert self._process is not None
        wait_until(f"{self.name} is ready", lambda: self._is_ready(api), self._process)

    def _is_ready(self, api: Endpoint) -> bool:
        status, node = api.request("GET", f"/api/v1/nodes/{self.name}", timeout=5)
        conditions = node["status"].get("conditions", []) if status == 200 else []
        return ("Ready", "True") in [(entry["type"], entry["status"]) for entry in conditions]

    def stop(self) -> None:
        """End all its processes at once, as a power cut would; mounts and network go with them."""
        process, self._process = self._process or Process.find(self.name, self.paths.state), None
        if process is not None:
            first = _first_of(process)
            process.stop(kill=True)
            if first is not None and not first.wait_gone(_TIMEOUT):
                raise ClusterError(f"{self.name}: its first process, {first.pid}, does not end, even by SIGKILL")
        self._control_group.remove()

    def reboot(self) -> None:
        """Cut its power and start it again; its disk is as it was."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it and delete its disk."""
        self.stop()
        shutil.rmtree(self.paths.state)

    def load_image(self, archive: Path) -> None:
        """Put an image into its containerd, under the names that the archive has it under."""
        load_into(self.paths.state, archive)

    def images(self) -> list[str]:
        """The names of its images."""
        return _ctr(self.paths, "images", "list", "--quiet").split()

    def _containerd_answers(self) -> bool:
        try:
            _ctr(self.paths, "version")
        except ClusterError:
            return False
        return True

    @property
    def _control_group(self) -> ControlGroup:
        return ControlGroup(self.paths.state.parent, self.name)

    @property
    def _spec(self) -> Path:
        return self.paths.config / "node.json"


def node_name(number: int) -> str:
    """Name of node 1, 2, …"""
    return f"node-{number}"


def load_into(state: Path, archive: Path) -> None:
    """Put an image into the containerd of the node with this state directory."""
    _ctr(NodePaths(state), "images", "import", str(archive), timeout=300)


def _ctr(paths: NodePaths, *arguments: str, timeout: float = 30) -> str:
    return run(
        [f"{node_programs()}/ctr", f"--address={paths.socket}", "--namespace=k8s.io", *arguments], timeout=timeout
    )


def _first_of(process: Process) -> Identity | None:
    """The node's first process, which ends after all others in there; None where it has ended."""
    try:
        return Identity.of(_child(process))
    except OSError:
        return None


def _child(process: Process) -> int:
    """The one child of `unshare`, the node's first process."""
    pid = process.identity.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if len(children) != 1:
        raise OSError(f"unshare has {len(children)} children")
    return int(children[0])
