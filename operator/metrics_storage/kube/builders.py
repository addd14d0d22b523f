"""Builders of Kubernetes objects: values in, plain dicts out. No I/O.

Nothing is copied from the user's labels: tools such as Argo CD would take the children for their own.
"""

from collections.abc import Mapping
from typing import Any

from metrics_storage import constants
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity
from metrics_storage.model.spec import StorageSpec, VolumeBindingMode


def build_claim(identity: Identity, spec: StorageSpec, mode: VolumeBindingMode) -> dict[str, Any]:
    """The claim that a runner's Pod mounts. It names no volume: bound in this order, no resync is waited for.

    Where it waits for a consumer, the scheduler writes on it which node it chose for that.
    """
    waits = mode is VolumeBindingMode.WAIT_FOR_FIRST_CONSUMER
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": identity.name,
            "namespace": identity.namespace,
            "labels": _labels(identity) | ({constants.BINDING_MODE_LABEL: mode.value} if waits else {}),
            "ownerReferences": [
                {
                    "apiVersion": constants.API_VERSION,
                    "kind": constants.KIND,
                    "name": identity.name,
                    "uid": identity.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "storageClassName": constants.WAITING_STORAGE_CLASS if waits else constants.STORAGE_CLASS,
            "accessModes": list(spec.access_modes),
            "resources": {"requests": {"storage": spec.capacity}},
        },
    }


def build_volume(
    identity: Identity, spec: StorageSpec, template: VolumeTemplate, claim: Mapping[str, Any], volume_id: str
) -> dict[str, Any]:
    """The volume behind a claim. The uid in `claimRef` keeps every other claim of that name off it.

    `volume_id` is the id of the storage volume that holds the directory.
    """
    source, affinity = template.locate(identity.relative_path)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": identity.volume_name,
            "labels": {**_labels(identity), constants.VOLUME_ID_LABEL: volume_id},
        },
        "spec": {
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "accessModes": list(spec.access_modes),
            "capacity": {"storage": spec.capacity},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": identity.name,
                "namespace": identity.namespace,
                "uid": claim["metadata"]["uid"],
            },
            **({"nodeAffinity": affinity} if affinity else {}),
            **source,
        },
    }


def build_binding(identity: Identity, claim_uid: str) -> dict[str, Any]:
    """Merge patch that completes the binding on the claim; the uid is a precondition."""
    return {
        "metadata": {"uid": claim_uid, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": identity.volume_name},
    }


def build_bound_claim_status(spec: StorageSpec, claim_uid: str) -> dict[str, Any]:
    """Merge patch of the status of a bound claim."""
    return {
        "metadata": {"uid": claim_uid},
        "status": {
            "phase": "Bound",
            "accessModes": list(spec.access_modes),
            "capacity": {"storage": spec.capacity},
        },
    }


def build_bound_volume_status(volume_uid: str) -> dict[str, Any]:
    """Merge patch of the status of a bound volume."""
    return {"metadata": {"uid": volume_uid}, "status": {"phase": "Bound"}}


def build_event(
    identity: Identity, *, normal: bool, reason: str, message: str, now: str, instance: str
) -> dict[str, Any]:
    """An event about a MetricsStorage; `now` is RFC 3339 with microseconds, `message` at most 1,024 bytes."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "metrics-storage-", "namespace": identity.namespace},
        "involvedObject": {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KIND,
            "namespace": identity.namespace,
            "name": identity.name,
            "uid": identity.uid,
        },
        "type": "Normal" if normal else "Warning",
        "reason": reason,
        "message": message.encode()[:1024].decode(errors="ignore"),
        "action": "Reconcile",
        "eventTime": now,
        "reportingComponent": constants.COMPONENT,
        "reportingInstance": instance,
    }


def belongs_to(claim: Mapping[str, Any], identity: Identity) -> bool:
    """Whether a claim was made for exactly this MetricsStorage (its owner's uid, not its name, decides)."""
    owners = claim["metadata"].get("ownerReferences", ())
    return any(owner.get("uid") == identity.uid for owner in owners)


def _labels(identity: Identity) -> dict[str, str]:
    return {**constants.APP_LABELS, constants.UID_LABEL: identity.uid}
