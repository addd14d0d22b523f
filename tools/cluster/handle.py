"""What a test gets: the handle of a running cluster, the same for every provider.

Runs kubectl and makes kubeconfig files of service accounts. Not responsible for starting or ending it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tools.cluster.credentials import kubeconfig, write_private
from tools.cluster.errors import ClusterError

__all__ = ["Cluster", "find_kubectl"]

_TOKEN_SECONDS = 24 * 3600


def find_kubectl() -> Path:
    """kubectl of KUBEBUILDER_ASSETS, else the one pinned in this virtual environment; never the machine's own.

    Raises ClusterError where neither is there.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / "kubectl").is_file():
        return Path(assets) / "kubectl"
    pinned = Path(sys.prefix, "bin", "kubectl")
    if not pinned.is_file():
        raise ClusterError(f"there is no {pinned}: make this virtual environment anew by `make venv`")
    return pinned


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes API that tests may use and litter."""

    provider: str  # "local" | "kind" | "kubeconfig"
    kubeconfig: Path
    context: str
    reason: str  # why it was chosen

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> CompletedProcess[str]:
        """Run kubectl against this cluster and no other.

        `timeout` is in seconds. Raises ClusterError when it takes longer or, with `check`, fails; the error
        carries what kubectl said.
        """
        argv = [str(find_kubectl()), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *args]
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ClusterError(f"kubectl {' '.join(args)} did not end within {timeout:g} s") from exc
        if check and done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(args)} failed with status {done.returncode}: {done.stderr.strip()}")
        return done

    def service_account_kubeconfig(self, namespace: str, name: str, directory: Path) -> Path:
        """A kubeconfig in `directory` that is this cluster seen with the rights of a service account.

        The account must exist. The token, from the TokenRequest API, is valid for 24 hours. The context
        has the same name as this handle's. Raises ClusterError when the account does not exist.
        """
        token = self._request_token(namespace, name)
        seen = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json").stdout)
        entry: dict[str, Any] = seen["clusters"][0]["cluster"]
        authority = {key: value for key, value in entry.items() if key != "server"}
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{namespace}-{name}.kubeconfig"
        write_private(path, kubeconfig(self.context, entry["server"], authority, token))
        return path

    def _request_token(self, namespace: str, name: str) -> str:
        # `kubectl create token` needs kubectl and server of 1.24; the raw request is older than both.
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request))
        return str(json.loads(answer.stdout)["status"]["token"])
