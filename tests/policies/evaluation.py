"""Requests to an API server that has the shipped policy, judged by the real admission plugin without a server."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tools.cluster.binaries import POLICY_EVALUATOR, cached
from tools.cluster.handle import find_kubectl

Object = dict[str, Any]

MANIFESTS: Final = Path(__file__).parents[2] / "manifests"
OPERATOR: Final = "system:serviceaccount:metrics-storage:metrics-storage-operator"
TENANT: Final = "system:serviceaccount:runners:tenant"
OVERRIDE: Final = "use /metricsstorage.dev/override"


@dataclass(frozen=True)
class Verdict:
    """What the plugin says to a request; `message` is empty where it is allowed."""

    allowed: bool
    message: str


@cache
def rendered() -> dict[str, Object]:
    """What `kubectl apply -k manifests/policies` creates, by kind."""
    command = [str(find_kubectl()), "kustomize", str(MANIFESTS / "policies")]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


def storage(*, annotations: Object | None = None, finalizers: Sequence[str] = (), spec: Object | None = None) -> Object:
    """A MetricsStorage; without annotations or finalizers it has no such fields at all, as in an API server."""
    metadata: Object = {"name": "runner-0", "namespace": "runners", "uid": "u-1"}
    if annotations:
        metadata["annotations"] = annotations
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"apiVersion": "metricsstorage.dev/v1", "kind": "MetricsStorage", "metadata": metadata, "spec": spec or {}}


class Plugin:
    """The admission plugin in a process of its own, with the shipped policy and binding."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        shipped = rendered()
        self._send(
            {
                "policies": [shipped["ValidatingAdmissionPolicy"]],
                "bindings": [shipped["ValidatingAdmissionPolicyBinding"]],
            }
        )

    def judge(
        self,
        old: Object | None,
        new: Object | None,
        *,
        user: str = TENANT,
        groups: Sequence[str] = (),
        grants: Sequence[str] = (),
        resource: str = "metricsstorages",
        subresource: str = "",
    ) -> Verdict:
        """Judge a creation (no `old`), an update, or a deletion (no `new`)."""
        self._send(
            {
                "operation": "CREATE" if old is None else "DELETE" if new is None else "UPDATE",
                "resource": resource,
                "subresource": subresource,
                "user": user,
                "groups": list(groups),
                "grants": list(grants),
                "object": new,
                "oldObject": old,
            }
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the policy evaluator ended; its words are above"
        return Verdict(**json.loads(line))

    def _send(self, message: Object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@contextmanager
def running_plugin() -> Iterator[Plugin]:
    """The plugin for the time of the `with` block; built now if this machine has none, which takes minutes."""
    with subprocess.Popen([_program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Plugin(process)
        finally:
            process.kill()


def _program() -> Path:
    found = cached(POLICY_EVALUATOR)
    if found is None:
        from tools.cluster.build import ensure

        found = ensure("policy-evaluator")
    return found / "policy-evaluator"
