"""What start-up asks the cluster: where volumes point, and which storage volumes it knows already."""

from collections.abc import Sequence
from dataclasses import dataclass

from metrics_storage.constants import MANAGED_SELECTOR, PLURAL, VOLUME_ID_LABEL
from metrics_storage.errors import KubernetesError, VolumeSourceError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import CLAIMS, STORAGES, VOLUMES
from metrics_storage.kube.volume_source import ClaimSource, VolumeTemplate, derive_template


@dataclass(frozen=True, slots=True)
class Known:
    """What the cluster remembers of earlier runs.

    `volume_ids` are the ids of storage volumes that PersistentVolumes point into; `provisioned` says whether any
    MetricsStorage ever had a directory. If so, an empty volume is not a new one, but one that is not mounted.
    """

    volume_ids: frozenset[str]
    provisioned: bool

    @property
    def is_nothing(self) -> bool:
        """Whether it knows of no storage volume at all."""
        return not self.volume_ids and not self.provisioned


async def find_template(api: Api, source: ClaimSource | VolumeTemplate) -> VolumeTemplate:
    """Where volumes point, looked up behind the operator's own storage claim if need be.

    Raises:
        VolumeSourceError: no such claim, not bound, or nothing can be derived from its volume.
    """
    if isinstance(source, VolumeTemplate):
        return source
    subject = f"volume source claim:{source.namespace}/{source.name}"
    claim = await api.get(CLAIMS, source.name, source.namespace)
    if claim is None:
        raise VolumeSourceError(f"{subject}: there is no such claim; create it, or give --volume-source another one")
    name = claim["spec"].get("volumeName")
    volume = await api.get(VOLUMES, name) if name else None
    if volume is None:
        raise VolumeSourceError(f"{subject}: the claim is not bound to a volume (phase {_phase(claim)})")
    return derive_template(source, volume)


async def find_known(api: Api, namespaces: Sequence[str]) -> Known:
    """What the cluster remembers about the given namespaces, or about all.

    Raises:
        KubernetesError: the API server does not answer, or has no definition of MetricsStorages.
    """
    ids = set()
    async for volume in api.list(VOLUMES, selector=MANAGED_SELECTOR):
        if "deletionTimestamp" in volume["metadata"]:
            continue  # Somebody gave it up.
        if not namespaces or volume["spec"].get("claimRef", {}).get("namespace") in namespaces:
            ids.add(volume["metadata"]["labels"].get(VOLUME_ID_LABEL, ""))
    provisioned = False
    watched: Sequence[str | None] = namespaces or [None]
    try:
        for namespace in watched:
            async for storage in api.list(STORAGES, namespace):
                provisioned = provisioned or bool(storage.get("status", {}).get("path"))
    except KubernetesError as exc:
        if exc.status == 404:
            raise KubernetesError(f"the cluster has no {PLURAL}: kubectl apply -k crds", 404) from exc
        raise
    return Known(frozenset(ids), provisioned)


def _phase(claim: dict[str, dict[str, str]]) -> str:
    return claim.get("status", {}).get("phase", "unknown")
