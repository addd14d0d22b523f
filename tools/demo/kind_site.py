"""The demo on a kind cluster: the image is built and loaded, the manifests are applied as they are shipped.

Directories are in the node's container, so commands there go through the container engine. What a container
engine needs could not be tried where this was written; every step is one ordinary command, shown as it runs.
"""

from __future__ import annotations

import os
from typing import Final

from tools.cluster import Cluster, kind
from tools.demo.errors import DemoError
from tools.demo.shell import Invocation, Shell, get

__all__ = ["KindSite"]

_IMAGE: Final = "metrics-storage-operator:0.1.0"
_NAMESPACE: Final = "metrics-storage"
_DEPLOYMENT: Final = "deployment/metrics-storage-operator"
_BUILD_SECONDS: Final = 900.0
_NODE: Final = f"{kind.NAME}-control-plane"


class KindSite:
    """See `tools.demo.shell.Site`."""

    def __init__(self, shell: Shell, cluster: Cluster) -> None:
        self._shell = shell
        self._engine = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")
        self.cluster = cluster
        self.storage_root = ""
        self.quarantine_root = ""
        self.opened = "/tmp/metrics-storage-opened"

    def install(self) -> None:
        self._shell.screen.say("The image is built from the Dockerfile and loaded onto the node.")
        for command, why in (
            (f"{self._engine} build --quiet --tag {_IMAGE} .", "the first build downloads its base image and packages"),
            (f"kind load docker-image {_IMAGE} --name {kind.NAME}", "the image is copied to the node"),
        ):
            self._shell.show(command, why, seconds=_BUILD_SECONDS)
        self._shell.screen.say("The manifests as they are shipped, in the overlay for kind.")
        self._shell.show("kubectl apply -k manifests/overlays/kind", "the API server takes them")

    def start_operator(self) -> None:
        self._shell.screen.say("Usage is measured every minute; for the demo every two seconds.")
        self._shell.show(
            f"kubectl -n {_NAMESPACE} set env {_DEPLOYMENT} METRICS_STORAGE_SWEEP_INTERVAL=2", "the Deployment changes"
        )
        self._shell.show(
            f"kubectl -n {_NAMESPACE} rollout status {_DEPLOYMENT} --timeout=110s",
            "volumes are provisioned and the operator starts",
        )
        self.storage_root = self._root_of("metrics-storage")
        self.quarantine_root = self._root_of("metrics-storage-quarantine")
        self._shell.run(self.inside("/", f"rm -rf {self.opened} && mkdir {self.opened}"), "a directory is made")

    def apply_samples(self) -> None:
        self._shell.show("kubectl apply -f manifests/samples/", "the API server takes them")

    def inside(self, directory: str, script: str, user: tuple[int, int] | None = None) -> Invocation:
        identity = [] if user is None else [f"--user={user[0]}:{user[1]}"]
        where = [f"--workdir={directory}", _NODE]
        return Invocation([self._engine, "exec", "-i", *identity, *where, "bash", "-o", "pipefail", "-c", script])

    def operator_log(self) -> str:
        return self.cluster.kubectl("-n", _NAMESPACE, "logs", _DEPLOYMENT).stdout

    def _root_of(self, claim: str) -> str:
        """The directory on the node behind one of the operator's claims."""
        volume = get(self.cluster, "pvc", claim, "-n", _NAMESPACE)["spec"]["volumeName"]
        spec = get(self.cluster, "pv", volume)["spec"]
        for source in ("local", "hostPath"):
            if source in spec:
                return str(spec[source]["path"])
        raise DemoError(f"volume {volume} behind claim {claim} is neither local nor hostPath: {', '.join(spec)}")
