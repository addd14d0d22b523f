"""MetricsStorages of one namespace as tests speak of them: apply, annotate, delete, wait for a condition."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.cluster import Cluster
from tools.waiting import eventually

Object = dict[str, Any]


@dataclass(frozen=True)
class Runners:
    """The MetricsStorages of a namespace, and what belongs to them."""

    cluster: Cluster
    namespace: str

    def apply(self, *names: str, spec: Object | None = None, annotations: dict[str, str] | None = None) -> None:
        """Apply one MetricsStorage a name, all in one go."""
        self.apply_objects(
            {
                "apiVersion": "metricsstorage.dev/v1",
                "kind": "MetricsStorage",
                "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations or {}},
                "spec": spec or {},
            }
            for name in names
        )

    def apply_objects(self, objects: Iterable[Object]) -> None:
        """Apply any objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(items), timeout=120)

    def quarantine(self, *names: str, reason: str = "not JSON") -> None:
        """Ask for quarantine."""
        self.kubectl("annotate", "mstor", *names, f"metricsstorage.dev/quarantine={reason}")

    def delete(self, *names: str) -> None:
        """Ask for deletion and don't wait."""
        self.kubectl("delete", "mstor", *names, "--wait=false")

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """What kubectl prints for a command in this namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, check=check, timeout=120).stdout

    def get(self, kind: str, name: str) -> Object | None:
        """An object, None where there is none."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def every(self, kind: str) -> list[Object]:
        """All objects of a kind in this namespace."""
        items: list[Object] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return items

    def volumes(self) -> list[Object]:
        """The PersistentVolumes whose claims are in this namespace."""
        volumes = [(volume, volume["spec"].get("claimRef", {})) for volume in self.every("pv")]
        return [volume for volume, claim in volumes if claim.get("namespace") == self.namespace]

    def storage(self, name: str) -> Object:
        """A MetricsStorage that is there."""
        found = self.get("mstor", name)
        assert found is not None, f"there is no MetricsStorage {name}"
        return found

    def wait(self, name: str, holds: Callable[[Object], Any], what: str, seconds: float = 20) -> Object:
        """The MetricsStorage once something holds of it."""

        def look() -> Object | None:
            found = self.get("mstor", name)
            return found if found and holds(found) else None

        try:
            return eventually(look, seconds=seconds, what=f"{name}: {what}")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{json.dumps(self.get('mstor', name), indent=1)}") from None

    def wait_condition(
        self, name: str, kind: str, status: str = "True", reason: str = "", seconds: float = 20
    ) -> Object:
        """The MetricsStorage once a condition has a status, and a reason where one is given."""

        def holds(storage: Object) -> bool:
            found = condition(storage, kind)
            return bool(found) and found["status"] == status and reason in ("", found["reason"])

        return self.wait(name, holds, f"{kind}={status} {reason}", seconds)

    def wait_ready(self, *names: str, seconds: float = 20) -> list[Object]:
        """The MetricsStorages once they are Ready."""
        return [self.wait_condition(name, "Ready", seconds=seconds) for name in names]

    def wait_gone(self, *names: str, seconds: float = 30) -> None:
        """Wait until there are no such MetricsStorages."""
        for name in names:
            eventually(lambda name=name: self.get("mstor", name) is None, seconds=seconds, what=f"{name} is gone")  # type: ignore[misc]

    def wait_all_gone(self, seconds: float = 30) -> None:
        """Wait until the namespace has no MetricsStorages."""
        eventually(
            lambda: not self.every("mstor"), seconds=seconds, what=f"no MetricsStorage is left in {self.namespace}"
        )

    def live(self, name: str) -> Path:
        """The directory of a MetricsStorage that is ready."""
        return Path(self.storage(name)["status"]["path"])


def condition(storage: Object, kind: str) -> Object:
    """A condition of a MetricsStorage, empty where it has none of that type."""
    for found in storage.get("status", {}).get("conditions", ()):
        if found["type"] == kind:
            return dict(found)
    return {}
