"""A MetricsStorage resource as it was at one moment, read the way a runner controller needs it. No I/O."""

from collections.abc import Mapping
from typing import Any

from metrics_storage.constants import QUARANTINE_ANNOTATION
from metrics_storage.model import reasons


class Look:
    """One look at a resource; `body` is what the API server gave."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.deleting = "deletionTimestamp" in metadata
        self._annotations: Mapping[str, str] = metadata.get("annotations") or {}
        self._generation: int = metadata["generation"]
        self._status: Mapping[str, Any] = body.get("status") or {}

    @property
    def path(self) -> str | None:
        """The directory on its node, None until the operator has told it."""
        return self._status.get("path")

    @property
    def quarantine_requested(self) -> bool:
        """Whether quarantine was requested, by annotation or in the status that outlives it."""
        return bool(self._annotations.get(QUARANTINE_ANNOTATION, "").strip()) or "quarantine" in self._status

    @property
    def in_service(self) -> bool:
        """Whether it has a directory, and is on its way neither to quarantine nor out of existence."""
        return self.path is not None and not self.deleting and not self.quarantine_requested

    @property
    def ready(self) -> bool:
        """Whether the spec as it is now was provisioned."""
        return self.path is not None and self._is_current(self._condition("Ready"))

    @property
    def archived(self) -> bool:
        """Whether a verified archive is committed."""
        return self._condition("Quarantined").get("status") == "True"

    @property
    def archive(self) -> str:
        """The archive, relative to the quarantine volume; empty where there is none yet."""
        return str(self._status.get("quarantine", {}).get("archive", ""))

    @property
    def stall(self) -> Mapping[str, Any] | None:
        """The condition that says a person must act, None without one. A finished quarantine is not meant."""
        stalled = self._condition("Stalled")
        return stalled if self._is_current(stalled) and stalled.get("reason") != reasons.QUARANTINED else None

    @property
    def summary(self) -> str:
        """Why it is not as somebody waits for it to be."""
        condition = self.stall or self._condition("Ready")
        if not condition:
            return "the operator has not looked at it yet (is it running, and does it watch this namespace?)"
        state = "being deleted, " if self.deleting else "in quarantine, " if self.quarantine_requested else ""
        return f"{state}{condition['reason']}: {condition['message']}"

    def _condition(self, kind: str) -> Mapping[str, Any]:
        for condition in self._status.get("conditions", ()):
            if condition["type"] == kind:
                return dict(condition)
        return {}

    def _is_current(self, condition: Mapping[str, Any]) -> bool:
        return condition.get("status") == "True" and condition.get("observedGeneration") == self._generation
