"""A MetricsStorage as the API server has it, read in one way by everybody: the operator, its sweep, and the library.

No I/O. Nothing here judges; what the values mean for a directory is the business of whoever reads them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from metrics_storage.constants import FINALIZER, QUARANTINE_ANNOTATION
from metrics_storage.model.identity import Uid

_REASON_MAX: Final = 1024
"""Characters of a reason for quarantine that are kept."""

_NO_REASON: Final = "no reason given"

_VOLUME_NAME: Final = re.compile(r"ms-([-0-9a-f]{36})")
_DIRECTORY: Final = re.compile(r".*_([-0-9a-f]{36})")


class StorageResource:
    """One state of a MetricsStorage; `body` is what the API server gave.

    `quarantine_reason` is the request for quarantine that its annotation makes, None without one. `status` is empty
    where the one that stands there tells of another uid.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        self.metadata: Mapping[str, Any] = metadata
        self.name: str = metadata["name"]
        self.uid = Uid(metadata["uid"])
        self.generation = int(metadata["generation"])
        self.spec: Mapping[str, Any] = body.get("spec") or {}
        self.deleting = bool(metadata.get("deletionTimestamp"))
        self.finalized = FINALIZER in (metadata.get("finalizers") or ())
        self.quarantine_reason = requested_quarantine(metadata.get("annotations"))
        self.status: Mapping[str, Any] = own_status(body)

    @property
    def path(self) -> str | None:
        """Where the directory is, None while the status does not say it."""
        return self.status.get("path")

    @property
    def storage_volume_id(self) -> Uid | None:
        """The storage volume that holds the directory, None where the status names none."""
        return Uid.parse(str(self.status.get("storageVolumeID") or ""))

    @property
    def phase(self) -> str | None:
        """The state in one word, None while the status has none."""
        return self.status.get("phase")

    @property
    def quarantine(self) -> Mapping[str, Any] | None:
        """What the status says of a quarantine that was latched, None if none was."""
        return self.status.get("quarantine")

    @property
    def is_flagged(self) -> bool:
        """Whether quarantine is asked for, or was latched once."""
        return self.quarantine_reason is not None or self.quarantine is not None

    def condition(self, kind: str) -> Mapping[str, Any]:
        """A condition of the status, empty where it is absent."""
        for condition in self.status.get("conditions") or ():
            if condition["type"] == kind:
                return dict(condition)
        return {}


def requested_quarantine(annotations: Mapping[str, Any] | None) -> str | None:
    """The reason for which annotations ask for quarantine, None where they do not.

    Any value but the empty one is a request, a blank too: whoever set it wanted something kept. Its author is not
    trusted, and it goes into the journal, the status and every manifest: it is cut, and shows nothing but characters
    that a log or a terminal may show.
    """
    value = (annotations or {}).get(QUARANTINE_ANNOTATION)
    if value is None or value == "":
        return None
    text = "".join(_shown(character) for character in str(value)[:_REASON_MAX])
    return text if text.strip() else _NO_REASON


def own_status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of a MetricsStorage, empty where it tells of another life.

    A tool that restores objects from a backup may copy the status of an object whose uid was another one. What that
    one had, and how far its quarantine came, says nothing about this one.
    """
    status: Mapping[str, Any] = body.get("status") or {}
    told = status_uid(status)
    return status if told is None or told == body["metadata"]["uid"] else {}


def status_uid(status: Mapping[str, Any]) -> str | None:
    """The uid that a status tells of, None where it names none: then nothing was ever provided.

    Versions that did not write the uid by itself wrote it into the names of the volume and the directory.
    """
    if uid := status.get("uid"):
        return str(uid)
    for field, pattern in (("volumeName", _VOLUME_NAME), ("path", _DIRECTORY)):
        if found := pattern.fullmatch(str(status.get(field) or "")):
            return found[1]
    return None


def _shown(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
