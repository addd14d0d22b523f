"""Pods of agents, which run nowhere here, and the tokens that the kubelet would give them."""

import json
from typing import Any

from metrics_storage.controller.fleet.authentication import AUDIENCE
from tools.cluster import Cluster


def make_pod(cluster: Cluster, namespace: str, node: str, account: str, name: str) -> dict[str, Any]:
    """A Pod that is placed on a node, and stays there whatever the node does."""
    spec = {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "nodeName": node,
        "containers": [{"name": "agent", "image": "agent"}],
        "tolerations": [{"operator": "Exists"}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    made = cluster.kubectl("-n", namespace, "create", "-o", "json", "-f", "-", stdin=json.dumps(pod))
    return dict(json.loads(made.stdout))


def issue(
    cluster: Cluster, namespace: str, account: str, pod: dict[str, Any] | None, *, audience: str = AUDIENCE
) -> str:
    """A token as the kubelet asks for one."""
    spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 3600}
    if pod:
        metadata = pod["metadata"]
        spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    answer = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    return str(json.loads(answer.stdout)["status"]["token"])
