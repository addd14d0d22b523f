"""Whose token an agent shows: the API server says which Pod it was issued to, and the Pod says on which node."""

from typing import Any, Final

from metrics_storage.controller.fleet.agents import AgentPod
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import NODES, PODS, TOKEN_REVIEWS
from metrics_storage.model.identity import Uid

AUDIENCE: Final = "metrics-storage"
"""What an agent's token is for. The API server itself refuses tokens with this audience."""

_EXTRA: Final = "authentication.kubernetes.io/"


class TokenReviewer:
    """Asks the API server, and believes a token only for as long as its Pod is there."""

    def __init__(self, api: Api, namespace: str, service_account: str) -> None:
        """Agents are Pods of this service account."""
        self._api = api
        self._namespace = namespace
        self._user = f"system:serviceaccount:{namespace}:{service_account}"

    async def __call__(self, token: str) -> AgentPod | None:
        """The Pod that a token was issued to; None where it is no agent's, or of a Pod that is not there any more.

        Raises:
            KubernetesError: the API server cannot be asked now.
        """
        if not token:
            return None  # The API server would call the review itself malformed.
        spec = {"token": token, "audiences": [AUDIENCE]}
        review = await self._api.create(
            TOKEN_REVIEWS, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        )
        status: dict[str, Any] = (review or {}).get("status", {})
        user: dict[str, Any] = status.get("user", {})
        if not status.get("authenticated") or AUDIENCE not in status.get("audiences", ()):
            return None
        if user.get("username") != self._user:
            return None
        return await self._pod(user.get("extra") or {})

    async def _pod(self, extra: dict[str, list[str]]) -> AgentPod | None:
        """The Pod that a token is bound to, as it is now: for a moment a token outlives its Pod."""
        (name,), (uid,) = (extra.get(_EXTRA + key) or [""] for key in ("pod-name", "pod-uid"))
        found = await self._api.get(PODS, name, self._namespace) if name and uid else None
        if found is None or found["metadata"]["uid"] != uid:
            return None
        node = await self._node(found["spec"].get("nodeName", ""))
        if node is None:
            return None
        metadata = node["metadata"]
        return AgentPod(metadata["name"], Uid(metadata["uid"]), name, uid, metadata.get("labels") or {})

    async def node_exists(self, name: str, uid: Uid) -> bool:
        """Whether there is a Node of this name and uid now.

        Raises:
            KubernetesError: the API server cannot be asked now.
        """
        node = await self._node(name)
        return node is not None and node["metadata"]["uid"] == uid

    async def _node(self, name: str) -> dict[str, Any] | None:
        return await self._api.get(NODES, name) if name else None
