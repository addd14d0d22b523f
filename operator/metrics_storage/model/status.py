"""The status of a MetricsStorage, computed whole from what is known; no I/O, no history but transition times."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from metrics_storage.errors import DirectoryVanishedError
from metrics_storage.model import reasons
from metrics_storage.model.conditions import Condition, merge_conditions
from metrics_storage.model.error_reasons import Explanation, explain
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.usage import Usage

_LOST: Final = (
    "the directory had vanished before it could be archived, and a person released it: there is no archive; "
    "delete this MetricsStorage"
)


_PROVIDED: Final = (reasons.PROVISIONED, "the directory exists and its claim is bound")
_WAITING: Final = (
    reasons.WAITING_FOR_FIRST_CONSUMER,
    "the claim is there; the directory follows on the node that the first Pod which mounts it is scheduled to",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one look at a MetricsStorage found.

    `path` and `node_name` say where its volume points, `volume_id` which storage volume that is on where there are
    several; `usage` is None when it was not measured this time. `waiting_claim` is the claim that
    waits for its first consumer, on whose node the directory will be.
    """

    record: Record | None
    bound: bool = False
    waiting_claim: str | None = None
    deleting: bool = False
    problem: Explanation | None = None
    path: str | None = None
    node_name: str | None = None
    volume_id: str | None = None
    usage: Usage | None = None


def build_status(findings: Findings, old: Mapping[str, Any], *, uid: str, generation: int, now: str) -> dict[str, Any]:
    """The whole status.

    Args:
        findings: what is known now.
        old: the status of this MetricsStorage as it stands, never that of another uid; its usage and transition
            times are kept where nothing newer is known.
        uid: whose status it is; a backup may bring it to another.
        generation: the `metadata.generation` that was looked at.
        now: RFC 3339 in UTC.
    """
    record, problem = findings.record, findings.problem or _loss(findings.record)
    provided = findings.bound and record is not None and _in_service(record)
    ready = (provided or findings.waiting_claim is not None) and problem is None
    conditions = [_ready(ready, findings, problem)]
    if record:
        conditions.append(_provisioned(record, conditions[0]))
    else:
        conditions.extend(_previous(old, "Provisioned") or [replace(conditions[0], type="Provisioned", status=False)])
    if record and record.quarantine:
        conditions.append(_quarantined(record, problem))
    elif not record:
        conditions.extend(_previous(old, "Quarantined"))
    if stalled := _stalled(record, problem):
        conditions.append(stalled)
    elif not ready:
        conditions.append(Condition("Reconciling", True, conditions[0].reason, conditions[0].message))
    status: dict[str, Any] = {
        "uid": uid,
        "observedGeneration": generation,
        "phase": _phase(ready, findings, problem),
        "conditions": merge_conditions(old.get("conditions", ()), conditions, generation=generation, now=now),
    }
    if record:
        status["claimName"] = record.identity.name
        status["volumeName"] = record.identity.volume_name
        status["path"] = findings.path
        status["nodeName"] = findings.node_name
        status["storageVolumeID"] = findings.volume_id
        status["usage"] = None if record.phase is Phase.GONE else _usage(findings.usage, old.get("usage"), now)
        # Never taken back, even if a restored journal does not know of it: the definition forbids that too.
        status["quarantine"] = _quarantine(record) or old.get("quarantine")
    else:
        status.update({key: old.get(key) for key in ("path", "nodeName", "claimName", "volumeName", "usage")})
        status["claimName"] = findings.waiting_claim or old.get("claimName")
        status["storageVolumeID"] = findings.volume_id or old.get("storageVolumeID")
        if findings.node_name:  # The directory's place is chosen before it is made.
            status["nodeName"] = findings.node_name
        status["quarantine"] = old.get("quarantine")
    return {key: value for key, value in status.items() if value is not None}


def _usage(measured: Usage | None, old: Mapping[str, Any] | None, now: str) -> Mapping[str, Any] | None:
    """What was measured; the time stays with the numbers, so that an unchanged usage is no write."""
    if measured is None or (old and (old["bytes"], old["files"]) == (measured.bytes, measured.files)):
        return old
    return {"bytes": measured.bytes, "files": measured.files, "measuredAt": now}


def _in_service(record: Record) -> bool:
    return record.phase is Phase.PROVISIONED and record.quarantine is None


def _is_archived(record: Record | None) -> bool:
    """The archive is committed and the source is gone: only the resource is left, as the record of it."""
    return record is not None and record.phase is Phase.GONE and _has_archive(record)


def _loss(record: Record | None) -> Explanation | None:
    """The problem that stays after a person accepted that there is nothing to archive any more."""
    if record and record.phase is Phase.GONE and record.quarantine and not _has_archive(record):
        return explain(DirectoryVanishedError(_LOST))
    return None


def _has_archive(record: Record) -> bool:
    return record.quarantine is not None and record.quarantine.archive is not None


def _ready(ready: bool, findings: Findings, problem: Explanation | None) -> Condition:
    record = findings.record
    if ready:
        return Condition("Ready", True, *(_WAITING if findings.waiting_claim else _PROVIDED))
    if problem:
        return Condition("Ready", False, problem.reason, problem.message)
    if _is_archived(record):
        return Condition("Ready", False, reasons.QUARANTINED, "the directory was archived and removed")
    if record and record.quarantine:
        return Condition("Ready", False, reasons.ARCHIVING, "the directory is on its way to quarantine")
    if findings.deleting:
        return Condition("Ready", False, reasons.DELETING, "the directory is being removed")
    return Condition("Ready", False, reasons.PROVISIONING, "the directory and its claim are being made")


def _provisioned(record: Record, ready: Condition) -> Condition:
    if record.phase is Phase.PROVISIONED:
        return Condition("Provisioned", True, reasons.PROVISIONED, "the directory exists")
    return replace(ready, type="Provisioned", status=False)


def _quarantined(record: Record, problem: Explanation | None) -> Condition:
    quarantine = record.quarantine
    if quarantine and quarantine.archive:
        archive = quarantine.archive
        return Condition(
            "Quarantined",
            True,
            reasons.QUARANTINED,
            f"{archive.path} is committed and verified ({archive.sha256})",
        )
    return Condition(
        "Quarantined", False, problem.reason if problem else reasons.ARCHIVING, "the archive is not committed yet"
    )


def _previous(old: Mapping[str, Any], kind: str) -> list[Condition]:
    """A condition as it stands: while the journal cannot be read, what it once said is still true."""
    return [
        Condition(kind, entry["status"] == "True", entry["reason"], entry["message"])
        for entry in old.get("conditions", ())
        if entry["type"] == kind
    ]


def _stalled(record: Record | None, problem: Explanation | None) -> Condition | None:
    if problem and problem.stalled:
        return Condition("Stalled", True, problem.reason, problem.message)
    if _is_archived(record) and not problem:
        return Condition(
            "Stalled",
            True,
            reasons.QUARANTINED,
            "the storage is in quarantine and will not be provisioned again: look at the archive, then delete this "
            "MetricsStorage",
        )
    return None


def _phase(ready: bool, findings: Findings, problem: Explanation | None) -> str:
    record = findings.record
    if ready:
        return "Ready"
    if _is_archived(record) and not findings.deleting:
        return "Quarantined"
    if problem and problem.stalled:
        return "Failed"
    if record and record.must_be_archived:
        return "Quarantining"
    return "Deleting" if findings.deleting else "Quarantining" if record and record.quarantine else "Pending"


def _quarantine(record: Record) -> dict[str, Any] | None:
    quarantine = record.quarantine
    if quarantine is None:
        return None
    status: dict[str, Any] = {"reason": quarantine.reason, "requestedAt": quarantine.requested_at}
    if archive := quarantine.archive or quarantine.provisional:
        status |= {
            "archive": archive.path,
            "sha256": archive.sha256,
            "bytes": archive.size_bytes,
            "files": archive.files,
            "clean": archive.clean,
            "completedAt": archive.completed_at,
        }
    return status
