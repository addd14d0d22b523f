"""Accounts with the rights of one Role, and what a hostile one does with them; requests are plain and fast.

kubectl takes a tenth of a second for a request, which loses every race. Not responsible for what is right: the
tests judge, by `fate`, from the volumes alone.
"""

import base64
import contextlib
import itertools
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.claims import hold_claim
from tools.cluster import Cluster
from tools.cluster.api import Endpoint
from tools.installation.process import OperatorProcess
from tools.installation.runners import Object, Runners
from tools.waiting import eventually

QUARANTINE = "metricsstorage.dev/quarantine"
FLAG: dict[str, str | None] = {QUARANTINE: "flagged"}
UNFLAG: dict[str, str | None] = {QUARANTINE: None}
FINALIZER = "metricsstorage.dev/directory"

EVIDENCE = "pre-job-metrics.json"
"""The file that every runner here leaves behind; each with another content."""

_MERGE = "application/merge-patch+json"
_STORAGES = "apis/metricsstorage.dev/v1"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Account:
    """Somebody with a token; paths are relative to the server, and every status is an answer."""

    endpoint: Endpoint
    namespace: str

    def request(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> tuple[int, Object]:
        """Send one request."""
        return self.endpoint.request(method, f"/{path}", body, kind)

    def path(self, name: str = "", *, subresource: str = "") -> str:
        """Address of the MetricsStorages of this account's namespace, or of one of them."""
        return "/".join(filter(None, (_STORAGES, "namespaces", self.namespace, "metricsstorages", name, subresource)))

    def create(self, name: str, annotations: dict[str, str] | None = None, spec: Object | None = None) -> Object:
        """Create a MetricsStorage, again and again while an older one of its name is there."""
        body = {
            "apiVersion": "metricsstorage.dev/v1",
            "kind": "MetricsStorage",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": spec or {},
        }

        def created() -> Object | None:
            status, answer = self.request("POST", self.path(), body)
            assert status in (201, 409), answer
            return answer if status == 201 else None

        return eventually(created, seconds=60, what=f"{name} can be created")

    def patch(self, name: str, metadata: Object | None = None, spec: Object | None = None) -> tuple[int, Object]:
        """Merge into metadata or spec."""
        body = {key: value for key, value in (("metadata", metadata), ("spec", spec)) if value is not None}
        return self.request("PATCH", self.path(name), body, _MERGE)

    def annotate(self, name: str, annotations: dict[str, str | None]) -> int:
        """Set annotations, or take away those that are None; gives the status."""
        return self.patch(name, {"annotations": annotations})[0]

    def take_finalizers(self, name: str) -> int:
        """Take every finalizer off; gives the status."""
        return self.patch(name, {"finalizers": None})[0]

    def delete(self, name: str) -> int:
        """Ask for deletion; gives the status."""
        return self.request("DELETE", self.path(name))[0]

    def get(self, name: str) -> Object | None:
        """The MetricsStorage, None where there is none."""
        status, answer = self.request("GET", self.path(name))
        return answer if status == 200 else None

    def wait_ready(self, name: str, uid: str, seconds: float = 30) -> Object:
        """This very MetricsStorage once it is Ready."""

        def ready() -> Object | None:
            found = self.get(name)
            mine = found and found["metadata"]["uid"] == uid and found.get("status", {}).get("phase") == "Ready"
            return found if mine else None

        return eventually(ready, seconds=seconds, what=f"{name} ({uid}) is ready")

    def wait_gone(self, name: str, uid: str, seconds: float = 30) -> None:
        """Wait until this very MetricsStorage is gone, whatever has its name."""
        eventually(
            lambda: (self.get(name) or {"metadata": {"uid": ""}})["metadata"]["uid"] != uid,
            seconds=seconds,
            what=f"{name} ({uid}) is gone",
        )


def account(runners: Runners, directory: Path, name: str, *rules: Object) -> Account:
    """A new service account in the runners' namespace with exactly these rules there."""
    namespace = runners.namespace
    metadata = {"name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", **metadata}
    runners.apply_objects(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": [subject],
            },
        ]
    )
    return Account(_endpoint(runners.cluster, namespace, name, directory), namespace)


def tenant(runners: Runners, directory: Path) -> Account:
    """Somebody who may create, patch and delete MetricsStorages, look at them, and nothing else."""
    verbs = ["create", "patch", "delete", "get", "list", "watch"]
    rule = {"apiGroups": ["metricsstorage.dev"], "resources": ["metricsstorages"], "verbs": verbs}
    return account(runners, directory, "tenant", rule)


def provisioned(tenant: Account, *names: str) -> dict[str, str]:
    """MetricsStorages that are Ready and whose directories hold EVIDENCE; their uids by name."""
    uids = {name: tenant.create(name)["metadata"]["uid"] for name in names}
    for name, uid in uids.items():
        leave_evidence(tenant.wait_ready(name, uid))
    return uids


def leave_evidence(storage: Object) -> None:
    """Write what a runner leaves behind."""
    (Path(storage["status"]["path"]) / EVIDENCE).write_text(_content(storage["metadata"]["uid"]))


def fate(operator: OperatorProcess, uid: str) -> str:
    """What became of a directory: "archived" (once, completely), "kept" as it was, both or "lost"."""
    # The operator may be moving it just now; what is really lost is so at every look.
    for _ in range(5):
        kept = _is_kept(operator, uid)
        archived = [path for path in operator.quarantine_root.glob(f"*/*_{uid}_*.tar.gz") if _is_complete(path, uid)]
        assert len(archived) <= 1, f"{uid} has several complete archives: {archived}"
        found = " and ".join(word for word, true in (("archived", archived), ("kept", kept)) if true)
        if found:
            return found
    return "lost"


def reported(operator: OperatorProcess, uid: str) -> bool:
    """Whether the log names this uid as an orphan."""
    return any("orphan:" in line and uid in line for line in operator.log.splitlines())


def together(accounts: int) -> ThreadPoolExecutor:
    """Threads that race; tests wait for them by leaving the `with` block."""
    return ThreadPoolExecutor(accounts, thread_name_prefix=f"attack-{next(_numbers)}")


def _content(uid: str) -> str:
    return f'{{"uid": "{uid}"'


def _is_kept(operator: OperatorProcess, uid: str) -> bool:
    # Not glob, which fails where a directory goes away beneath it.
    for folder, _, files in os.walk(operator.storage_root):
        if uid in Path(folder).name and EVIDENCE in files:
            with contextlib.suppress(FileNotFoundError):
                return (Path(folder) / EVIDENCE).read_text() == _content(uid)
    return False


def _is_complete(archive: Path, uid: str) -> bool:
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    trailer = json.loads(manifest.read_text().splitlines()[-1])
    command = ["tar", "xzOf", str(archive), "--wildcards", f"*/{EVIDENCE}"]
    evidence = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return trailer.get("clean") is True and evidence == _content(uid)


def _endpoint(cluster: Cluster, namespace: str, name: str, directory: Path) -> Endpoint:
    file = cluster.service_account_kubeconfig(namespace, name, directory)
    kubeconfig: dict[str, Any] = json.loads(file.read_text())
    server = kubeconfig["clusters"][0]["cluster"]
    authority = directory / f"{namespace}-{name}.crt"
    authority.write_bytes(base64.b64decode(server["certificate-authority-data"]))
    address = urlsplit(server["server"])
    token = kubeconfig["users"][0]["user"]["token"]
    return Endpoint(address.port or 443, authority, token, address.hostname or "127.0.0.1")


def hold(runners: Runners, names: list[str], *, held: bool) -> None:
    """Hold claims back as running Pods do, or let them go."""
    with together(4) as threads:
        list(
            threads.map(lambda name: hold_claim(runners, name, held=held) if runners.get("pvc", name) else None, names)
        )


def wait_latched(attacker: Account, *names: str) -> None:
    """Wait until the operator took the requests."""
    for name in names:
        eventually(
            lambda name=name: "quarantine" in (attacker.get(name) or {}).get("status", {}),  # type: ignore[misc]
            seconds=30,
            what=f"{name} is latched",
        )


def wait_archived(operator: OperatorProcess, uids: dict[str, str], seconds: float = 60) -> None:
    """Wait until each has its one archive and no directory any more."""
    for name, uid in uids.items():
        eventually(lambda uid=uid: fate(operator, uid) == "archived", seconds=seconds, what=f"{name} is archived")  # type: ignore[misc]


def check_orphans(runners: Runners, operator: OperatorProcess, uids: dict[str, str]) -> None:
    """What lost its MetricsStorage is archived without a trace, or kept as it was and named in the log."""

    def settled(uid: str) -> bool:
        volumes = {item["metadata"]["name"] for item in runners.volumes()}
        return reported(operator, uid) or (fate(operator, uid) == "archived" and f"ms-{uid}" not in volumes)

    for name, uid in uids.items():
        eventually(lambda uid=uid: settled(uid), seconds=30, what=f"{name} is archived or reported")  # type: ignore[misc]
        assert fate(operator, uid) != "lost", name
