"""A MetricsStorage resource as it was at one moment, read the way a runner controller needs it. No I/O."""

from collections.abc import Mapping
from typing import Any

from metrics_storage.model import reasons
from metrics_storage.model.resource import StorageResource


class ResourceView:
    """One look at a resource; `body` is what the API server gave."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._resource = StorageResource(body)
        self.name = self._resource.name
        self.uid = self._resource.uid
        self.deleting = self._resource.deleting

    @property
    def path(self) -> str | None:
        """The directory on its node, None until the operator has told it."""
        return self._resource.path

    @property
    def quarantine_requested(self) -> bool:
        """Whether quarantine was requested, by annotation or in the status that outlives it."""
        return self._resource.is_flagged

    @property
    def in_service(self) -> bool:
        """Whether it has a directory, and is on its way neither to quarantine nor out of existence."""
        return self.path is not None and not self.deleting and not self.quarantine_requested

    @property
    def ready(self) -> bool:
        """Whether the spec as it is now was provisioned."""
        return self.path is not None and self._is_current(self._resource.condition("Ready"))

    @property
    def archived(self) -> bool:
        """Whether a verified archive is committed."""
        return self._resource.condition("Quarantined").get("status") == "True"

    @property
    def archive(self) -> str:
        """The archive, relative to the quarantine volume; empty where there is none yet."""
        return str((self._resource.quarantine or {}).get("archive", ""))

    @property
    def stall(self) -> Mapping[str, Any] | None:
        """The condition that says a person must act, None without one. A finished quarantine is not meant."""
        stalled = self._resource.condition("Stalled")
        return stalled if self._is_current(stalled) and stalled.get("reason") != reasons.QUARANTINED else None

    @property
    def summary(self) -> str:
        """Why it is not as somebody waits for it to be."""
        condition = self.stall or self._resource.condition("Ready")
        if not condition:
            return "the operator has not looked at it yet (is it running, and does it watch this namespace?)"
        state = "being deleted, " if self.deleting else "in quarantine, " if self.quarantine_requested else ""
        return f"{state}{condition['reason']}: {condition['message']}"

    def _is_current(self, condition: Mapping[str, Any]) -> bool:
        return condition.get("status") == "True" and condition.get("observedGeneration") == self._resource.generation
