"""The ids of both volumes, remembered in the cluster.

A MetricsStorage and a PersistentVolume remember their volumes only while there are any. This ConfigMap of the
operator's own namespace does so for longer: where it is, empty mount points are volumes that are not mounted.
"""

from collections.abc import Mapping
from typing import Final

from metrics_storage.errors import KubernetesError, VolumeError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import CONFIG_MAPS

NAME: Final = "metrics-storage-volume-ids"


async def recall(api: Api, namespace: str) -> Mapping[str, str]:
    """Role and id of the volumes that were remembered, empty where none were.

    Raises:
        KubernetesError: the API server does not tell; then nothing may be taken for new.
    """
    found = await api.get(CONFIG_MAPS, NAME, namespace)
    return (found or {}).get("data") or {}


async def remember(api: Api, namespace: str, ids: Mapping[str, str]) -> None:
    """Remember volumes by role and id, where none are remembered yet.

    Raises:
        KubernetesError: the API server refused it, or the namespace is not there.
    """
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": dict(ids)}
    if await api.create(CONFIG_MAPS, body, namespace) is None and not await recall(api, namespace):
        raise KubernetesError(f"configmap {namespace}/{NAME} is empty: delete it, and it is made anew")


def check_remembered(remembered: Mapping[str, str], namespace: str, ids: Mapping[str, str]) -> None:
    """See that the volumes are those that were remembered; a person may have replaced one of the two.

    Raises:
        VolumeError: both are others.
    """
    if remembered and not remembered.items() & ids.items():
        raise VolumeError(
            f"the volumes have the ids {', '.join(ids.values())}, but this operator used "
            f"{', '.join(remembered.values())}: mount those. If both are lost or replaced, say so by "
            f"kubectl delete configmap -n {namespace} {NAME}"
        )


async def agree(api: Api, namespace: str, remembered: Mapping[str, str], ids: Mapping[str, str]) -> None:
    """See that the volumes are those that were remembered, and have them remembered where none are.

    Raises:
        VolumeError: both are others.
        KubernetesError: they cannot be remembered.
    """
    check_remembered(remembered, namespace, ids)
    if not remembered:
        await remember(api, namespace, ids)
