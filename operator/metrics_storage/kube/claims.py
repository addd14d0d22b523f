"""The claim of one MetricsStorage, which Pods mount: made, and withdrawn once nobody uses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metrics_storage.errors import ClaimInUseError, ConflictError, KubernetesError
from metrics_storage.kube import builders
from metrics_storage.kube.api import Api
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.resources import CLAIMS, VOLUMES
from metrics_storage.model.identity import Identity
from metrics_storage.model.spec import StorageSpec, VolumeBindingMode

_IN_USE: Final = "is still in use: it goes when the Pods that mount it are gone"
_PROTECTION: Final = ("kubernetes.io/pvc-protection", "kubernetes.io/pv-protection")
"""Finalizers of Kubernetes itself, which it takes off when nothing uses the object any more."""


_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""Where the scheduler writes which node it chose for a Pod that mounts the claim."""


class Claims:
    """The claims of all MetricsStorages."""

    def __init__(self, api: Api, waiter: DeletionWaiter) -> None:
        self._api = api
        self._waiter = waiter

    async def ensure(
        self, identity: Identity, spec: StorageSpec, mode: VolumeBindingMode, *, fresh: bool
    ) -> tuple[dict[str, Any], bool]:
        """The claim, and whether it was made now; `fresh` spares the look before that.

        Raises:
            ConflictError: the name is taken by a claim that is not ours.
            ClaimInUseError: ours is being deleted; a new one follows when it is gone.
        """
        claim = None if fresh else await self._api.get(CLAIMS, identity.name, identity.namespace)
        if claim is None:
            claim = await self._api.create(CLAIMS, builders.build_claim(identity, spec, mode), identity.namespace)
            if claim is not None:
                return claim, True
            claim = await self._api.get(CLAIMS, identity.name, identity.namespace)
        if claim is None:
            raise KubernetesError(f"claim {identity.namespace}/{identity.name} came and went")
        if not builders.belongs_to(claim, identity):
            raise ConflictError(
                f"claim {identity.namespace}/{identity.name} exists and is not this MetricsStorage's; it is left "
                "alone. Delete or rename that claim, or give this MetricsStorage another name."
            )
        if "deletionTimestamp" in claim["metadata"]:
            raise ClaimInUseError(
                f"claim {identity.namespace}/{identity.name} was deleted by somebody and goes when its Pods are gone; "
                "a new one follows then"
            )
        return claim, False

    async def refuse_node(self, claim: Mapping[str, Any]) -> None:
        """Have the scheduler choose again for a claim: it waits for the volume on the node that it chose."""
        metadata = claim["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": {_SELECTED_NODE: None}}}
        await self._api.patch(CLAIMS, metadata["name"], patch, metadata["namespace"])

    async def withdraw(self, identity: Identity, max_wait: float) -> None:
        """Delete our claim and wait until it is really gone, as the API server itself says at the end.

        Raises:
            ClaimInUseError: it is still there after `max_wait` seconds.
        """
        claim = await self._api.get(CLAIMS, identity.name, identity.namespace)
        if claim is None or not await self._is_ours(claim, identity):
            return
        uid = claim["metadata"]["uid"]
        await self._api.delete(CLAIMS, identity.name, uid, identity.namespace)
        await self._waiter.wait(CLAIMS, uid, max_wait)
        claim = await self._api.get(CLAIMS, identity.name, identity.namespace)
        if claim is not None and claim["metadata"]["uid"] == uid:
            raise ClaimInUseError(f"claim {identity.namespace}/{identity.name} {holders(claim) or _IN_USE}")

    async def _is_ours(self, claim: Mapping[str, Any], identity: Identity) -> bool:
        """Whether a claim mounts our directory: its owner says so, or our volume, which no tenant can edit."""
        if builders.belongs_to(claim, identity):
            return True
        volume = await self._api.get(VOLUMES, identity.volume_name)
        return volume is not None and volume["spec"].get("claimRef", {}).get("uid") == claim["metadata"]["uid"]


def selected_node(claim: Mapping[str, Any]) -> str | None:
    """The node that the scheduler chose for the first Pod that mounts a claim, None while it chose none."""
    return (claim["metadata"].get("annotations") or {}).get(_SELECTED_NODE)


@dataclass(frozen=True, slots=True)
class ClaimState:
    """What a sweep has to know of a claim; a cluster has many."""

    uid: str
    volume_name: str | None
    is_bound: bool
    is_selected: bool
    deleting: bool

    @property
    def is_waiting(self) -> bool:
        """Whether it has no volume, and no Pod needs one yet."""
        return not (self.volume_name or self.is_selected or self.deleting)


def claim_state(claim: Mapping[str, Any]) -> ClaimState:
    """The state of a claim."""
    return ClaimState(
        uid=claim["metadata"]["uid"],
        volume_name=claim["spec"].get("volumeName"),
        is_bound=claim.get("status", {}).get("phase") == "Bound",
        is_selected=selected_node(claim) is not None,
        deleting="deletionTimestamp" in claim["metadata"],
    )


def holders(item: Mapping[str, Any]) -> str:
    """Who else keeps an object that is being deleted, empty where it is Kubernetes alone."""
    others = [entry for entry in item["metadata"].get("finalizers") or () if entry not in _PROTECTION]
    if not others:
        return ""
    return f"is held by {', '.join(others)}: whoever put this finalizer on it must take it off"
