"""An API server in a dictionary: enough of one for claims, volumes and MetricsStorages, and as unreliable as asked."""

import copy
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from metrics_storage.errors import KubernetesError
from metrics_storage.kube.resources import CLAIMS, STORAGES, Resource

Object = dict[str, Any]


class FakeApi:
    """Implements what `Api` offers, by the rules of `contract.server`. `before` is called first and may raise.

    Claims are `held` as by a Pod that uses them: they stay when they are deleted.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[Resource, str | None, str], Object] = {}
        self.before: Callable[[str, Resource], None] = lambda _verb, _resource: None
        self.held = False
        self._versions = itertools.count(1)

    def add(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Object:
        """Put an object there, whatever it says of itself."""
        made = copy.deepcopy(dict(body))
        made["metadata"].setdefault("uid", str(uuid.uuid4()))
        made["metadata"].setdefault("generation", 1)
        made["metadata"]["resourceVersion"] = str(next(self._versions))
        name = made["metadata"].get("name") or made["metadata"]["generateName"] + made["metadata"]["uid"]
        self.objects[resource, namespace, name] = made
        return copy.deepcopy(made)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        self.before("get", resource)
        return copy.deepcopy(self.objects.get((resource, namespace, name)))

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Object | None:
        self.before("create", resource)
        if (resource, namespace, body["metadata"].get("name", "")) in self.objects:
            return None
        return self.add(resource, {key: value for key, value in body.items() if key != "status"}, namespace)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        subresource: str = "",
    ) -> Object | None:
        self.before("patch", resource)
        found = self.objects.get((resource, namespace, name))
        if found is None:
            return None
        wanted = body.get("metadata", {}).get("uid", found["metadata"]["uid"])
        if wanted != found["metadata"]["uid"]:
            raise KubernetesError(f"{name}: metadata.uid: field is immutable", 422)
        before = copy.deepcopy(found)
        merge(found, {key: value for key, value in body.items() if (key == "status") == (subresource == "status")})
        return self._changed(resource, name, namespace, before)

    async def replace_status(
        self, resource: Resource, name: str, uid: str, status: Mapping[str, Any], namespace: str | None = None
    ) -> Object | None:
        self.before("patch status", resource)
        found = self.objects.get((resource, namespace, name))
        if found is None:
            return None
        if found["metadata"]["uid"] != uid:
            raise KubernetesError(f"{name}: testing value /metadata/uid failed", 422)
        before = copy.deepcopy(found)
        found["status"] = copy.deepcopy(dict(status))
        return self._changed(resource, name, namespace, before)

    async def delete(self, resource: Resource, name: str, uid: str, namespace: str | None = None) -> None:
        self.before("delete", resource)
        found = self.objects.get((resource, namespace, name))
        if found is None or found["metadata"]["uid"] != uid:
            return
        if found["metadata"].get("finalizers") or (self.held and resource == CLAIMS):
            found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[resource, namespace, name]

    async def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> AsyncIterator[Object]:
        self.before("list", resource)
        for (kind, within, _), found in list(self.objects.items()):
            if kind == resource and namespace in (None, within) and _selects(selector, found):
                yield copy.deepcopy(found)

    def storage(self, name: str) -> Object:
        """The MetricsStorage of a name, whatever its namespace."""
        (found,) = (body for (kind, _, called), body in self.objects.items() if (kind, called) == (STORAGES, name))
        return found

    def _changed(self, resource: Resource, name: str, namespace: str | None, before: Object) -> Object:
        """What becomes of an object that was changed: another version, another generation, or its end."""
        found = self.objects[resource, namespace, name]
        metadata = found["metadata"]
        if found != before:
            metadata["resourceVersion"] = str(next(self._versions))
        if found.get("spec") != before.get("spec"):
            metadata["generation"] += 1
        if before["metadata"].get("finalizers") and not metadata.get("finalizers") and "deletionTimestamp" in metadata:
            del self.objects[resource, namespace, name]
        return copy.deepcopy(found)


def _selects(selector: str, body: Object) -> bool:
    """Whether the labels are those of a selector by equality or presence."""
    labels = body["metadata"].get("labels") or {}
    wanted = (term.partition("=") for term in selector.split(",") if term)
    return all(labels.get(key) == value if equals else key in labels for key, equals, value in wanted)


def merge(target: Object, patch: Mapping[str, Any]) -> None:
    """JSON merge patch (RFC 7396), in place."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
