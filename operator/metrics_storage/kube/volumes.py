"""The volume behind the claim of one MetricsStorage: both made and bound in the fast order, repaired, withdrawn.

Claim first, then the volume with the claim's uid, then the binding completed by ourselves: any other order can
wait for the cluster's binder to resync, and in a burst the binder's 20 writes a second are the bottleneck.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metrics_storage.constants import UID_LABEL, VOLUME_ID_LABEL
from metrics_storage.errors import ClaimInUseError, ConflictError, KubernetesError
from metrics_storage.kube import builders
from metrics_storage.kube.api import Api
from metrics_storage.kube.claims import Claims, ClaimState, holders
from metrics_storage.kube.deletion_waiter import DeletionWaiter
from metrics_storage.kube.resources import CLAIMS, VOLUMES
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec, VolumeBindingMode

_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


class Volumes:
    """The volumes that point at the directories of one storage volume, bound to their claims."""

    def __init__(self, api: Api, waiter: DeletionWaiter, template: VolumeTemplate, volume_id: str) -> None:
        self.claims = Claims(api, waiter)
        self._api = api
        self._waiter = waiter
        self._template = template
        self._volume_id = volume_id

    async def ensure(
        self, identity: Identity, spec: StorageSpec, mode: VolumeBindingMode, *, fresh: bool
    ) -> tuple[str, ...]:
        """Make claim and volume and bind them; returns in words what had to be repaired.

        Nothing is written where all is right already. `fresh` says that the storage was just provisioned, so
        that the look before the first write can be spared.

        Raises:
            ConflictError: the name is taken by a claim or volume that is not ours.
            ClaimInUseError: our claim is being deleted; a new one follows when it is gone.
        """
        claim, claim_made = await self.claims.ensure(identity, spec, mode, fresh=fresh)
        volume, volume_repair = await self._ensure_volume(identity, spec, claim, fresh)
        await self._bind(identity, spec, claim, volume)
        repairs = ("the claim was missing and was made anew",) if claim_made and not fresh else ()
        return repairs + ((volume_repair,) if volume_repair and not fresh else ())

    async def withdraw(self, identity: Identity, max_wait: float) -> None:
        """Delete our volume and wait until it is gone.

        Raises:
            ClaimInUseError: it is still there after `max_wait` seconds.
        """
        volume = await self._api.get(VOLUMES, identity.volume_name)
        if volume is None or not self._is_our_volume(volume, identity):
            return
        uid = volume["metadata"]["uid"]
        await self._api.delete(VOLUMES, identity.volume_name, uid)
        if not await self._waiter.wait(VOLUMES, uid, max_wait):
            volume = await self._api.get(VOLUMES, identity.volume_name) or {"metadata": {}}
            raise ClaimInUseError(
                f"volume {identity.volume_name} "
                f"{holders(volume) or 'is not gone yet: Kubernetes holds it while it counts as bound'}"
            )

    def _is_our_volume(self, volume: Mapping[str, Any], identity: Identity) -> bool:
        """Whether a volume of the name points at our directory; its labels may have been taken away."""
        labels = volume["metadata"].get("labels") or {}
        path = self._template.path(identity.relative_path)
        return labels.get(UID_LABEL) == identity.uid or self._path_of(volume) == path

    def _path_of(self, volume: Mapping[str, Any]) -> str | None:
        """Where a volume points, None where it is of another kind than ours."""
        path: str | None = (volume["spec"].get(self._template.kind) or {}).get("path")
        return path

    async def _ensure_volume(
        self, identity: Identity, spec: StorageSpec, claim: Mapping[str, Any], fresh: bool
    ) -> tuple[dict[str, Any], str | None]:
        """The volume, and in words how it was repaired."""
        wanted = builders.build_volume(identity, spec, self._template, claim, self._volume_id)
        volume = None if fresh else await self._api.get(VOLUMES, identity.volume_name)
        if volume is None:
            volume = await self._api.create(VOLUMES, wanted)
            if volume is not None:
                return volume, "the volume was missing and was made anew"
            volume = await self._api.get(VOLUMES, identity.volume_name)
        if volume is None:
            raise KubernetesError(f"volume {identity.volume_name} came and went")
        if self._path_of(volume) != self._path_of(wanted):
            raise ConflictError(
                f"volume {identity.volume_name} exists, but does not point at this MetricsStorage's directory "
                f"{self._path_of(wanted)}: delete that volume and the claim, and both are made anew"
            )
        is_labelled = wanted["metadata"]["labels"].items() <= (volume["metadata"].get("labels") or {}).items()
        is_aimed = volume["spec"].get("claimRef", {}).get("uid") == claim["metadata"]["uid"]
        if is_labelled and is_aimed:
            return volume, None
        patch: dict[str, Any] = {
            "metadata": {"uid": volume["metadata"]["uid"], "labels": wanted["metadata"]["labels"]},
        }
        if not is_aimed:
            patch["spec"] = {"claimRef": {**wanted["spec"]["claimRef"], "resourceVersion": None}}
        patched = await self._api.patch(VOLUMES, identity.volume_name, patch)
        if patched is None:
            raise KubernetesError(f"volume {identity.volume_name} went while it was repaired")
        what = "had lost its labels" if is_aimed else "pointed at another claim"
        return patched, f"the volume {what} and was set right"

    async def _bind(
        self, identity: Identity, spec: StorageSpec, claim: Mapping[str, Any], volume: Mapping[str, Any]
    ) -> None:
        """Complete what of the binding is missing; the cluster's binder may be doing the same beside us."""
        writes = []
        if volume.get("status", {}).get("phase") != "Bound":
            status = builders.build_bound_volume_status(volume["metadata"]["uid"])
            writes.append(self._api.patch(VOLUMES, identity.volume_name, status, subresource="status"))
        annotations = claim["metadata"].get("annotations", {})
        if claim["spec"].get("volumeName") != identity.volume_name or _BIND_COMPLETED not in annotations:
            binding = builders.build_binding(identity, claim["metadata"]["uid"])
            writes.append(self._api.patch(CLAIMS, identity.name, binding, identity.namespace))
        await asyncio.gather(*writes)
        if claim.get("status", {}).get("phase") != "Bound":
            status = builders.build_bound_claim_status(spec, claim["metadata"]["uid"])
            await self._api.patch(CLAIMS, identity.name, status, identity.namespace, subresource="status")


def storage_volume_id(volume: Mapping[str, Any]) -> Uid | None:
    """The storage volume that a PersistentVolume points into, by its label; None where it says none."""
    return Uid.parse((volume["metadata"].get("labels") or {}).get(VOLUME_ID_LABEL, ""))


@dataclass(frozen=True, slots=True)
class VolumeState:
    """What a sweep has to know of a PersistentVolume; a cluster has many."""

    name: str
    claim_uid: str | None
    storage_volume_id: Uid | None
    is_bound: bool
    deleting: bool


def volume_state(volume: Mapping[str, Any]) -> VolumeState:
    """The state of a PersistentVolume."""
    return VolumeState(
        name=volume["metadata"]["name"],
        claim_uid=volume["spec"].get("claimRef", {}).get("uid"),
        storage_volume_id=storage_volume_id(volume),
        is_bound=volume.get("status", {}).get("phase") == "Bound",
        deleting="deletionTimestamp" in volume["metadata"],
    )


def is_bound(claim: ClaimState | None, volume: VolumeState | None) -> bool:
    """Whether a claim and a volume of one MetricsStorage are bound to each other, and nobody deletes them."""
    return (
        claim is not None
        and volume is not None
        and claim.volume_name == volume.name
        and volume.claim_uid == claim.uid
        and claim.is_bound
        and volume.is_bound
        and not (claim.deleting or volume.deleting)
    )
