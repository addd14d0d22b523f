"""What becomes of the directory when a MetricsStorage is deleted."""

from metrics_storage.controller.subject import Subject
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import DeletionPolicy, parse_policy


def wants_quarantine(subject: Subject, record: Record) -> bool:
    """Whether a deletion has to archive first; what is condemned already is past that."""
    if record.quarantine is not None:
        return True
    if record.phase not in (Phase.PROVISIONING, Phase.PROVISIONED):
        return False
    return bool(deletion_reason(subject))


def asks_for_archive(subject: Subject) -> bool:
    """Whether a directory whose journal cannot be asked is still to be archived, by all that the API server knows."""
    if subject.is_told_of_archive:
        return False
    return subject.is_told_of_quarantine or bool(deletion_reason(subject))


def wants_retention(subject: Subject, record: Record) -> bool:
    """Whether a deletion leaves the directory; once it is condemned the policy is not asked any more."""
    undecided = record.phase in (Phase.PROVISIONING, Phase.PROVISIONED)
    return record.phase is Phase.RETAINED or (undecided and parse_policy(subject.spec) is DeletionPolicy.RETAIN)


def deletion_reason(subject: Subject) -> str:
    """Why a deletion archives first, empty where nothing asks for it."""
    by_policy = parse_policy(subject.spec) is DeletionPolicy.QUARANTINE
    return subject.quarantine_reason or ("deletionPolicy is Quarantine" if by_policy else "")
