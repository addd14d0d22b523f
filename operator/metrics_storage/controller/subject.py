"""One MetricsStorage as a handler or the sweep got it, and the only writer of its status."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from metrics_storage.constants import FINALIZER, QUARANTINE_ANNOTATION
from metrics_storage.errors import KubernetesError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import STORAGES
from metrics_storage.kube.volume_source import VolumeTemplate
from metrics_storage.model.identity import Identity
from metrics_storage.model.status import Findings, build_status

_log = logging.getLogger(__name__)

_REFUSED: Final = 422

_REASON_MAX: Final = 1024
"""Characters of a reason for quarantine that are kept."""


def _shown(character: str) -> str:
    """A character as a log or a terminal may safely show it."""
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def now() -> str:
    """The time as RFC 3339 in UTC, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_flagged(body: Mapping[str, Any]) -> bool:
    """Whether quarantine is asked for, or was latched once."""
    annotations = body["metadata"].get("annotations") or {}
    return bool(annotations.get(QUARANTINE_ANNOTATION) or (body.get("status") or {}).get("quarantine"))


class Subject:
    """What the API server said about a MetricsStorage. `status` follows what `publish` writes."""

    def __init__(self, body: Mapping[str, Any], api: Api) -> None:
        metadata = self._metadata = body["metadata"]
        self.identity = Identity(metadata["namespace"], metadata["name"], metadata["uid"])
        self.generation = int(metadata["generation"])
        self.spec: Mapping[str, Any] = body.get("spec") or {}
        self.status: Mapping[str, Any] = dict(body.get("status") or {})
        self.deleting = "deletionTimestamp" in metadata
        self.finalized = FINALIZER in metadata.get("finalizers", ())
        annotation: str = (metadata.get("annotations") or {}).get(QUARANTINE_ANNOTATION, "")
        # It goes into the journal, the status and every manifest, and its author is not trusted.
        self.quarantine_reason = "".join(_shown(character) for character in annotation[:_REASON_MAX])
        self._api = api

    @property
    def was_provisioned(self) -> bool:
        """Whether the status ever said where the directory is."""
        return bool(self.status.get("path"))

    @property
    def was_ready(self) -> bool:
        """Whether everything was in place when the status was last written."""
        return self.status.get("phase") == "Ready"

    @property
    def is_told_of_quarantine(self) -> bool:
        """Whether the status says that a quarantine is latched."""
        return "quarantine" in self.status

    @property
    def is_stalled(self) -> bool:
        """Whether the status says that a person must act."""
        return any(condition["type"] == "Stalled" for condition in self.status.get("conditions", ()))

    async def read_again(self) -> "Subject | None":
        """The same MetricsStorage as it is now; None when it is gone, whatever has its name."""
        body = await self._api.get(STORAGES, self.identity.name, self.identity.namespace)
        if body is None or body["metadata"]["uid"] != self.identity.uid:
            return None
        return Subject(body, self._api)

    async def release(self) -> None:
        """Take our finalizer off this very state of the object; a change meanwhile is a conflict."""
        metadata = {
            "uid": self.identity.uid,
            "resourceVersion": self._metadata["resourceVersion"],
            "finalizers": [entry for entry in self._metadata.get("finalizers", ()) if entry != FINALIZER],
        }
        await self._api.patch(STORAGES, self.identity.name, {"metadata": metadata}, self.identity.namespace)

    def says(self, findings: Findings) -> bool:
        """Whether the status that stands is the one that follows from the findings."""
        return self._status_of(findings) == self.status

    async def publish(self, findings: Findings) -> None:
        """Write the status that follows from the findings, where it differs from the one that stands."""
        status = self._status_of(findings)
        if status != self.status:
            identity = self.identity
            try:
                await self._api.replace_status(STORAGES, identity.name, identity.uid, status, identity.namespace)
            except KubernetesError as exc:
                if exc.status != _REFUSED:
                    raise
                # Another object of the name, or a definition that forbids this: no reason to stop the work.
                _log.warning("%s: the status was refused: %s", identity, exc)
            else:
                self.status = status

    def _status_of(self, findings: Findings) -> dict[str, Any]:
        return build_status(findings, self.status, generation=self.generation, now=now())


def placed(template: VolumeTemplate, identity: Identity) -> dict[str, Any]:
    """Where a directory is, as its status says it."""
    path = template.path(f"{identity.namespace}/{identity.directory_name}")
    return {"path": path, "node_name": template.node_name}
