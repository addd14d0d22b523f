"""A current server of custom resources beside a local control plane: what its age cannot check, this can.

The control plane built from Debian stable knows no CEL rules. This is the apiextensions-apiserver of Debian
unstable with an etcd prefix of its own; it asks the control plane who a token belongs to. It has no
discovery and no controllers, so it is spoken to by plain requests. Not responsible for other resources.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.cluster.api import Endpoint
from tools.cluster.binaries import CRD_SERVER, cached
from tools.cluster.commands import with_flags
from tools.cluster.control_plane import ControlPlane, free_ports
from tools.cluster.errors import ClusterError
from tools.cluster.processes import Process
from tools.cluster.waiting import wait_until

__all__ = ["CrdServer", "running_crd_server"]

_NAME = "apiextensions-apiserver"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ESTABLISHED_SECONDS = 30.0
# They need resources that the older control plane lacks, or namespaces, which live under another prefix.
_WITHOUT = (
    "NamespaceLifecycle",
    "MutatingAdmissionPolicy",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionWebhook",
)


class CrdServer:
    """The running server: plain requests, and definitions installed."""

    def __init__(self, endpoint: Endpoint, version: str) -> None:
        self._endpoint = endpoint
        self.version = version

    def request(
        self, method: str, path: str, body: object | None = None, content_type: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """One request as cluster administrator; returns status and decoded answer, whatever the status.

        `path` begins with /apis/. Raises OSError or http.client.HTTPException when nothing answers.
        """
        return self._endpoint.request(method, path, body, content_type)

    def install(self, crd: dict[str, Any]) -> None:
        """Create a definition, or replace the one of its name, and wait until its resources are served.

        Raises ClusterError with the server's own words when it is refused or not established in time.
        """
        name = crd["metadata"]["name"]
        status, answer = self.request("POST", _DEFINITIONS, crd)
        if status == 409:
            present = self.request("GET", f"{_DEFINITIONS}/{name}")[1]
            metadata = {**crd["metadata"], "resourceVersion": present["metadata"]["resourceVersion"]}
            status, answer = self.request("PUT", f"{_DEFINITIONS}/{name}", {**crd, "metadata": metadata})
        if status not in (200, 201):
            raise ClusterError(f"definition {name} is refused with status {status}: {answer.get('message', answer)}")
        end = time.monotonic() + _ESTABLISHED_SECONDS
        while not self._served(name):
            if time.monotonic() > end:
                conditions = self.request("GET", f"{_DEFINITIONS}/{name}")[1].get("status", {}).get("conditions")
                raise ClusterError(
                    f"definition {name} is not served after {_ESTABLISHED_SECONDS:g} s; conditions: {conditions}"
                )
            time.sleep(0.05)

    def _served(self, name: str) -> bool:
        present = self.request("GET", f"{_DEFINITIONS}/{name}")[1]
        # A new definition has `conditions: null`.
        conditions = present.get("status", {}).get("conditions") or []
        if ("Established", "True") not in [(entry["type"], entry["status"]) for entry in conditions]:
            return False
        # The condition is written a moment before the handlers know the resource.
        spec = present["spec"]
        return all(
            self.request("GET", f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")[0] == 200
            for version in spec["versions"]
            if version["served"]
        )


@contextlib.contextmanager
def running_crd_server(plane: ControlPlane) -> Iterator[CrdServer]:
    """The server beside `plane`, for the time of the `with` block; built now if this machine has none.

    Raises ClusterError, with the end of its log, when it does not become ready.
    """
    directory = _programs()
    port = free_ports(1)[0]
    process = Process.spawn(_NAME, _command(directory / _NAME, plane, port), plane.state, "session")
    try:
        endpoint = Endpoint(port, plane.credentials.ca_file, plane.credentials.admin_token)
        wait_until(f"{_NAME} is ready", lambda: endpoint.request("GET", _DEFINITIONS, timeout=5)[0] == 200, process)
        # The folder is called <recipe>-<version>-<machine>.
        yield CrdServer(endpoint, directory.name.removeprefix(f"{CRD_SERVER}-").split("-")[0])
    finally:
        process.stop(kill=True)


def _programs() -> Path:
    found = cached(CRD_SERVER)
    if found is None:
        from tools.cluster.build import ensure

        found = ensure("crd-server")
    return found


def _command(binary: Path, plane: ControlPlane, port: int) -> list[str]:
    flags = {
        "etcd-servers": plane.ports.etcd_url,
        "etcd-prefix": "/metrics-storage-crd-server",
        "bind-address": "127.0.0.1",
        "secure-port": str(port),
        "tls-cert-file": str(plane.credentials.server_certificate),
        "tls-private-key-file": str(plane.credentials.server_key),
        "kubeconfig": str(plane.kubeconfig),
        "authentication-kubeconfig": str(plane.kubeconfig),
        "authorization-kubeconfig": str(plane.kubeconfig),
        "authentication-skip-lookup": "true",
        "enable-priority-and-fairness": "false",
        "disable-admission-plugins": ",".join(_WITHOUT),
    }
    return with_flags(binary, flags, {})
