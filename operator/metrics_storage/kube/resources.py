"""The resources that the operator reads and writes, and their addresses below an API server."""

from dataclasses import dataclass
from typing import Final

from metrics_storage import constants


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object; `prefix` is the address of its group and version."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Address of a collection, an object or a subresource; no namespace means cluster-wide."""
        within = f"/namespaces/{namespace}" if namespace else ""
        parts = [f"{self.prefix}{within}/{self.plural}", name, subresource]
        return "/".join(part for part in parts if part)


CLAIMS: Final = Resource("/api/v1", "persistentvolumeclaims")
VOLUMES: Final = Resource("/api/v1", "persistentvolumes", namespaced=False)
CONFIG_MAPS: Final = Resource("/api/v1", "configmaps")
NODES: Final = Resource("/api/v1", "nodes", namespaced=False)
PODS: Final = Resource("/api/v1", "pods")
TOKEN_REVIEWS: Final = Resource("/apis/authentication.k8s.io/v1", "tokenreviews", namespaced=False)
EVENTS: Final = Resource("/api/v1", "events")
STORAGES: Final = Resource(f"/apis/{constants.API_VERSION}", constants.PLURAL)
