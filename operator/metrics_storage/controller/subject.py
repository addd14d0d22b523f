"""One MetricsStorage as a handler or the sweep got it, and the only writer of its status."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from metrics_storage.constants import FINALIZER
from metrics_storage.errors import KubernetesError
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import STORAGES
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.resource import StorageResource
from metrics_storage.model.status import Findings, build_status
from metrics_storage.timestamps import utc_now

_log = logging.getLogger(__name__)

_REFUSED: Final = 422


class Subject:
    """What the API server said about a MetricsStorage. `status` follows what `publish` writes."""

    def __init__(self, body: Mapping[str, Any], api: Api) -> None:
        self._api = api
        self._see(body)

    def _see(self, body: Mapping[str, Any]) -> None:
        resource = self._resource = StorageResource(body)
        self.identity = Identity(resource.metadata["namespace"], resource.name, resource.uid)
        self.generation = resource.generation
        self.spec = resource.spec
        self.deleting = resource.deleting
        self.finalized = resource.finalized
        self.quarantine_reason = resource.quarantine_reason
        self._published: Mapping[str, Any] = body.get("status") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """What was last published for this very object."""
        return self._resource.status

    @property
    def was_provisioned(self) -> bool:
        """Whether the status ever said where the directory is."""
        return bool(self._resource.path)

    @property
    def storage_volume_id(self) -> Uid | None:
        """The storage volume that the status names, None where it names none."""
        return self._resource.storage_volume_id

    @property
    def was_ready(self) -> bool:
        """Whether everything was in place when the status was last written."""
        return self._resource.phase == "Ready"

    @property
    def is_told_of_quarantine(self) -> bool:
        """Whether the status says that a quarantine is latched."""
        return self._resource.quarantine is not None

    @property
    def is_told_of_archive(self) -> bool:
        """Whether the status says that the archive is committed and verified."""
        return self._resource.condition("Quarantined").get("status") == "True"

    @property
    def is_stalled(self) -> bool:
        """Whether the status says that a person must act."""
        return bool(self._resource.condition("Stalled"))

    def says_reason(self, reason: str) -> bool:
        """Whether a condition of the status has this reason."""
        return any(condition["reason"] == reason for condition in self.status.get("conditions", ()))

    def follow(self, other: "Subject") -> None:
        """Take over what a later look saw of the status."""
        self._resource.status, self._published = other.status, other._published

    async def read_again(self) -> "Subject | None":
        """The same MetricsStorage as it is now; None when it is gone, whatever has its name."""
        body = await self._look()
        return Subject(body, self._api) if body else None

    async def refresh(self) -> bool:
        """See this very MetricsStorage as it is now; whether it is still there."""
        body = await self._look()
        if body:
            self._see(body)
        return body is not None

    async def _look(self) -> Mapping[str, Any] | None:
        body = await self._api.get(STORAGES, self.identity.name, self.identity.namespace)
        return body if body and body["metadata"]["uid"] == self.identity.uid else None

    async def release(self) -> None:
        """Take our finalizer off this very state of the object; a change meanwhile is a conflict."""
        await self._set_finalizers([entry for entry in self._finalizers if entry != FINALIZER])

    async def hold(self) -> None:
        """Put our finalizer on this very state of the object; a change meanwhile is a conflict."""
        if not self.finalized:
            await self._set_finalizers([*self._finalizers, FINALIZER])

    @property
    def _finalizers(self) -> list[str]:
        return self._resource.metadata.get("finalizers") or []

    async def _set_finalizers(self, finalizers: list[str]) -> None:
        metadata = {
            "uid": self.identity.uid,
            "resourceVersion": self._resource.metadata["resourceVersion"],
            "finalizers": finalizers,
        }
        await self._api.patch(STORAGES, self.identity.name, {"metadata": metadata}, self.identity.namespace)

    def says(self, findings: Findings) -> bool:
        """Whether the status that stands is the one that follows from the findings."""
        return self._status_of(findings) == self._published

    async def publish(self, findings: Findings) -> None:
        """Write the status that follows from the findings, where it differs from the one that stands."""
        status = self._status_of(findings)
        if status != self._published:
            identity = self.identity
            try:
                await self._api.replace_status(STORAGES, identity.name, identity.uid, status, identity.namespace)
            except KubernetesError as exc:
                if exc.status != _REFUSED:
                    raise
                # Another object of the name, or a definition that forbids this: no reason to stop the work.
                _log.warning("%s: the status was refused: %s", identity, exc)
            else:
                self._resource.status = self._published = status

    def _status_of(self, findings: Findings) -> dict[str, Any]:
        return build_status(findings, self.status, uid=self.identity.uid, generation=self.generation, now=utc_now())
