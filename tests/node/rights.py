"""What the operator may do, read out of roles, and what it did, read out of the API server's audit log."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Any

import yaml

from tools.cluster.handle import find_kubectl
from tools.installation.deployment import ROOT
from tools.installation.runners import Runners
from tools.waiting import eventually


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource, `persistentvolumes/status` being one of its own; `group` is empty for the core.

    `namespace` is empty for what belongs to none, and for all of them.
    """

    group: str
    resource: str
    verb: str
    namespace: str = ""


def write_policy(path: Path, *users: str) -> None:
    """An audit policy that records what users asked for once it is answered, without bodies."""
    rules = [{"level": "Metadata", "users": users}, {"level": "None"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    path.write_text(json.dumps(policy))


def granted(roles: Iterable[Mapping[str, Any]]) -> set[Right]:
    """Every right that Roles and ClusterRoles give."""
    return {
        Right(group, resource, verb, role["metadata"].get("namespace", ""))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@dataclass(frozen=True)
class AuditLog:
    """The log of an API server that writes down who asked for what, from some moment on."""

    path: Path
    begin: int = 0
    """Bytes at its beginning that are not looked at."""

    def from_now_on(self) -> "AuditLog":
        """What will be logged after this moment."""
        return AuditLog(self.path, self.path.stat().st_size)

    def used(self, user: str) -> set[Right]:
        """Every right that a user made use of."""
        return {right for right, allowed in self._requests(user) if allowed}

    def refused(self, user: str) -> set[Right]:
        """Every right that a user asked for and does not have."""
        return {right for right, allowed in self._requests(user) if not allowed}

    def _requests(self, user: str) -> Iterator[tuple[Right, bool]]:
        with self.path.open() as lines:
            lines.seek(self.begin)
            for line in lines:
                if not line.endswith("\n"):
                    return  # It is being written.
                event = json.loads(line)
                what = event.get("objectRef")
                if event["user"]["username"] != user or what is None:
                    continue
                # A status of 403 may have other causes, such as a namespace that is being deleted.
                decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
                resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
                right = Right(what.get("apiGroup", ""), resource, event["verb"], what.get("namespace", ""))
                yield right, decision == "allow"


def roles(folder: str) -> list[dict[str, Any]]:
    """The Roles and ClusterRoles of a folder of manifests."""
    rendered = run([find_kubectl(), "kustomize", ROOT / "manifests" / folder], capture_output=True, check=True)
    return [item for item in yaml.safe_load_all(rendered.stdout) if item["kind"] in ("Role", "ClusterRole")]


def live(runners: Runners) -> None:
    """Everything that asks the API server for something: life, repair, quarantine, a claim of others in the way."""
    runners.apply("runner-0", "runner-1", "runner-2")
    runners.wait_ready("runner-0", "runner-1", "runner-2")
    claim = runners.get("pvc", "runner-0")
    assert claim is not None
    runners.kubectl("delete", "pvc", "runner-0")
    eventually(
        lambda: (runners.get("pvc", "runner-0") or claim)["metadata"]["uid"] != claim["metadata"]["uid"],
        seconds=100,
        what="the sweep makes the claim anew",
    )
    runners.quarantine("runner-1")
    runners.wait_condition("runner-1", "Quarantined", seconds=60)
    runners.delete("runner-0", "runner-1", "runner-2")
    runners.wait_all_gone(seconds=60)
