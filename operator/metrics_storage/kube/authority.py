"""The certificate of the controller, where its agents find it: a ConfigMap that their Pods mount."""

from typing import Final

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import CONFIG_MAPS

NAME: Final = "metrics-storage-controller-ca"
FILE: Final = "ca.crt"


async def publish(api: Api, namespace: str, certificate: bytes) -> None:
    """Have the ConfigMap hold this certificate, in PEM.

    Raises:
        KubernetesError: the API server refused it, or the namespace is not there.
    """
    data = {FILE: certificate.decode()}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data}
    if await api.create(CONFIG_MAPS, body, namespace) is not None:
        return
    found = await api.get(CONFIG_MAPS, NAME, namespace)
    if found is not None and found.get("data") == data:
        return
    if await api.patch(CONFIG_MAPS, NAME, {"data": data}, namespace) is None:
        raise KubernetesError(f"configmap {namespace}/{NAME} came and went")
