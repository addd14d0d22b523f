"""The demo on a local control plane: directories on this machine, the operator a process in the background.

There are no nodes, so runners are stood in for by processes of their users. The operator has the rights of the
service account as shipped, not the administrator's.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from tools.cluster import Cluster
from tools.cluster.control_plane import free_ports
from tools.cluster.processes import Process
from tools.cluster.progress import tail
from tools.demo.errors import DemoError
from tools.demo.paths import shown
from tools.demo.shell import REPOSITORY, Invocation, Shell, until
from tools.demo.state import OPERATOR, State

__all__ = ["LocalSite"]

_SAMPLES: Final = "manifests/samples"
_NODE: Final = "worker-1"
_OPERATOR_NAMESPACE: Final = "metrics-storage"
_SERVICE_ACCOUNT: Final = "metrics-storage-operator"


class LocalSite:
    """See `tools.demo.shell.Site`."""

    def __init__(self, shell: Shell, state: State, cluster: Cluster) -> None:
        self._shell = shell
        self._screen = shell.screen
        self._state = state
        self.cluster = cluster
        self.storage_root = str(state.storage)
        self.quarantine_root = str(state.quarantine)
        self.opened = shown(state.opened)

    def install(self) -> None:
        self._screen.say(
            "The definition goes first. --validate=false, because this API server is older than the rules in the "
            "definition and kubectl would refuse what the server does not know; the operator checks the same rules."
        )
        self._shell.show("kubectl apply --validate=false -f crds/metricsstorage.yaml", "the API server takes it")
        self._screen.say("Then the operator's account with no more rights than it needs, and the storage class.")
        files = " \\\n  ".join(
            f"-f manifests/base/{name}.yaml"
            for name in ("namespace", "service-account", "cluster-role", "storage-class")
        )
        self._shell.show(f"kubectl apply -n {_OPERATOR_NAMESPACE} \\\n  {files}", "the API server takes it")

    def start_operator(self) -> None:
        kubeconfig = self.cluster.service_account_kubeconfig(_OPERATOR_NAMESPACE, _SERVICE_ACCOUNT, self._state.root)
        port = free_ports(1)[0]
        self._screen.say(
            f"A local control plane has no nodes, so the operator runs as a process in the background and is told "
            f"that the directories are on a node called {_NODE}. It logs to {shown(self._state.log)}."
        )
        flags = [
            "--storage-root=$PWD/storage",
            "--quarantine-root=$PWD/quarantine",
            "--volume-source=hostpath:$PWD/storage",
            f"--node-name={_NODE}",
            "--cluster=demo",
            "--sweep-interval=2",
            f"--health-address=127.0.0.1:{port}",
        ]
        command = " \\\n  ".join(["metrics-storage run", *flags])
        self._screen.command(f"cd {shown(self._state.root)}\n{command} &")
        # With an environment of its own: METRICS_STORAGE_* of the user's shell is meant for something else.
        environment = [f"{name}={os.environ[name]}" for name in ("PATH", "HOME") if name in os.environ]
        argv = ["env", "-i", *environment, f"KUBECONFIG={kubeconfig}"]
        argv += [sys.executable, "-m", "metrics_storage.cli.main", "run"]
        argv += [flag.replace("$PWD", str(self._state.root)) for flag in flags]
        process = Process.spawn(OPERATOR, argv, self._state.root, "detached")
        until(self._screen, "the operator is ready", lambda: self._ready(process, port), seconds=60)
        self._screen.check(f"the operator (process {process.identity.pid}) says on /readyz that it is ready", True)

    def apply_samples(self) -> None:
        if os.geteuid() == 0:
            self._shell.show(f"kubectl apply -f {_SAMPLES}/", "the API server takes them")
            return
        self._screen.say(
            "Only root may give a directory to another user, and this is not root: here every directory is your own, "
            "whatever the samples say."
        )
        samples = (self._as_own(path) for path in sorted((REPOSITORY / _SAMPLES).glob("*.yaml")))
        self._shell.show("kubectl apply -f -", "the API server takes them", stdin=yaml.safe_dump_all(samples))

    def inside(self, directory: str, script: str, user: tuple[int, int] | None = None) -> Invocation:
        return Invocation(
            ["bash", "-o", "pipefail", "-c", script], Path(directory), user if os.geteuid() == 0 else None
        )

    def operator_log(self) -> str:
        return self._state.log.read_text(errors="replace")

    def _as_own(self, path: Path) -> dict[str, Any]:
        manifest: dict[str, Any] = yaml.safe_load(path.read_text())
        if manifest["kind"] == "MetricsStorage":
            directory = manifest.setdefault("spec", {}).setdefault("directory", {})
            directory["owner"] = f"{os.geteuid()}:{os.getegid()}"
        return manifest

    def _ready(self, process: Process, port: int) -> bool:
        if not process.alive():
            raise DemoError(f"the operator ended instead of serving; the end of {process.log}:\n{tail(process.log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
