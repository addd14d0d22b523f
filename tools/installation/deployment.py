"""The operator as a Deployment: installed, looked into, rolled, removed as the README says."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tools.cluster import Cluster
from tools.installation.default_class import make_default_class
from tools.installation.definition import wait_established
from tools.waiting import eventually

NAMESPACE: Final = "metrics-storage"
USER: Final = f"system:serviceaccount:{NAMESPACE}:metrics-storage-operator"
AGENT_USER: Final = f"system:serviceaccount:{NAMESPACE}:metrics-storage-agent"
DEPLOYMENT: Final = "deployment/metrics-storage-operator"
STORAGE: Final = "/var/lib/metrics-storage/storage"
QUARANTINE: Final = "/var/lib/metrics-storage/quarantine"

ROOT: Final = Path(__file__).parents[2]
_LIST: Final = """\
import os, sys
for directory, directories, files in os.walk(sys.argv[1]):
    for name in directories + files:
        print(os.path.relpath(os.path.join(directory, name), sys.argv[1]))
"""
_OF_RUNNERS: Final = tuple(f".metrics-storage/{name}/" for name in ("journal", "frozen", "trash", "incoming"))
"""Where on the volumes there is something only while a runner has it."""


@dataclass
class Operator:
    """The operator of a cluster, in the namespace that the manifests give it."""

    cluster: Cluster
    installed: str = field(default="", init=False)
    """The folder of manifests that it runs from, empty while there is none."""

    def install(self, folder: str) -> None:
        """Have it run from a folder of manifests and be ready, on empty volumes unless it does so already."""
        if self.installed != folder:
            if self.installed:
                self.uninstall()
            make_default_class(self.cluster)
        self.installed = folder
        self.apply(folder)
        self.wait_rolled_out()

    def uninstall(self) -> None:
        """Remove everything, in the order that the README gives."""
        self.cluster.kubectl("delete", "mstor", "--all", "--all-namespaces", timeout=180)
        self.cluster.kubectl("delete", "-f", str(ROOT / "crds" / "metricsstorage.yaml"), timeout=120)
        self.kubectl("delete", DEPLOYMENT, "--cascade=foreground", timeout=120)
        self.delete(self.installed)
        self.wait_removed()

    def apply(self, folder: str | Path) -> None:
        """Apply a folder of manifests. Servers before 1.27 do not know all of the definition's fields."""
        self.cluster.kubectl("apply", "-k", str(ROOT / "manifests" / folder), "--validate=false")
        wait_established(self.cluster)

    def apply_image(self, tag: str, directory: Path) -> None:
        """Run another image, by a kustomization on top of the base such as the README shows."""
        base = os.path.relpath(ROOT / "manifests" / "base", directory.resolve())
        images = [{"name": "metrics-storage-operator", "newTag": tag}]
        content = {"kind": "Kustomization", "resources": [base], "images": images}
        (directory / "kustomization.yaml").write_text(json.dumps(content))
        self.apply(directory)

    def wait_rolled_out(self, seconds: int = 120) -> None:
        """Wait until the Pod of the newest revision is ready."""
        try:
            self.kubectl("rollout", "status", DEPLOYMENT, f"--timeout={seconds}s", timeout=seconds + 10)
        except Exception as exc:
            raise AssertionError(f"{exc}\n{self.kubectl('describe', 'pods')}\n{self.log()}") from exc

    def delete(self, folder: str) -> None:
        """Delete everything in a folder of manifests, without waiting for it."""
        path = str(ROOT / "manifests" / folder)
        self.cluster.kubectl("delete", "-k", path, "--ignore-not-found", "--wait=false", timeout=120)
        self.installed = ""

    def wait_removed(self) -> None:
        """Wait until its namespace is gone, and with it everything in there."""
        look = ("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name")
        eventually(lambda: not self.cluster.kubectl(*look).stdout, seconds=120, what=f"namespace {NAMESPACE} is gone")

    def kubectl(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        """What kubectl prints for a command in the operator's namespace."""
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, timeout=timeout, check=check).stdout

    def pod(self) -> dict[str, Any]:
        """The one Pod, once there is one that is not being deleted."""

        def look() -> dict[str, Any] | None:
            pods = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
            living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            return living[0] if len(living) == 1 else None

        return eventually(look, seconds=60, what="there is one Pod of the operator")

    def restarts(self) -> int:
        """How often its container was started again."""
        return int(self.pod()["status"]["containerStatuses"][0]["restartCount"])

    def run(self, *command: str, timeout: float = 60) -> str:
        """What a command prints in the operator's container."""
        return self.kubectl("exec", DEPLOYMENT, "--", *command, timeout=timeout)

    def python(self, code: str, *arguments: str) -> str:
        """What Python code prints in the operator's container."""
        return self.run("python3", "-c", code, *arguments)

    def tree(self, root: str) -> set[str]:
        """Everything below a directory of the container, as relative paths."""
        return set(self.python(_LIST, root).split())

    def log(self) -> str:
        """What it logged, by the newest Pod."""
        return self.kubectl("logs", DEPLOYMENT, "--tail=200", check=False)

    def archives(self, namespace: str) -> list[dict[str, Any]]:
        """The archives of a namespace's runners, as `metrics-storage archives list` tells them."""
        listing = self.run("metrics-storage", "archives", "list", "--output=json")
        found = [json.loads(line) for line in listing.splitlines()]
        return [archive for archive in found if archive["namespace"] == namespace]

    def final_archives(self, namespace: str) -> list[dict[str, Any]]:
        """Those of them that are no provisional ones, of which there may be one where a claim took long to go."""
        return [archive for archive in self.archives(namespace) if archive["clean"]]

    def wait_archiving(self) -> None:
        """Wait until an archive is being written."""
        eventually(
            lambda: any(path.startswith(".metrics-storage/incoming/") for path in self.tree(QUARANTINE)),
            seconds=60,
            what="an archive is being written",
        )

    def verify(self, archives: Iterable[dict[str, Any]]) -> None:
        """Have archives verified by `metrics-storage archives verify`; fails where one does not."""
        names = [archive["archive"] for archive in archives]
        self.run("metrics-storage", "archives", "verify", *names, timeout=300)

    def assert_nothing_left(self, namespace: str, seconds: float = 20) -> None:
        """Nothing of this namespace's runners is on the volumes but archives, and nothing half done of anybody."""

        def left() -> list[str]:
            storage = [path for path in self.tree(STORAGE) if path.startswith((f"{namespace}/", *_OF_RUNNERS))]
            return storage + [path for path in self.tree(QUARANTINE) if path.startswith(_OF_RUNNERS)]

        eventually(lambda: not left(), seconds=seconds, what=f"nothing of {namespace} is left on the volumes")
