"""Adopting a storage volume that was copied to another disk or restored: each directory got another inode number.

A person says that the volume is the right one; then the journal takes over the numbers of the directories that stand
where they were provisioned. Nothing else on the volume is changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from metrics_storage.engine.lifecycle.directories import Directories, Standing
from metrics_storage.engine.lifecycle.token import Token
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import JournalError, VolumeError
from metrics_storage.model.identity import Uid
from metrics_storage.model.record import Record


class Verdict(StrEnum):
    """What becomes of a directory when its volume is adopted."""

    UNCHANGED = "unchanged"
    """It is the one that was provisioned."""
    COPY = "copy"
    """It carries the token of the one that was provisioned."""
    UNMARKED = "copy without mark"
    """It stands at its place, but neither carries a token nor another; only the operator can put anything there."""
    OTHER = "another directory"
    """It carries another token, and is not adopted."""
    MISSING = "missing"
    """Nothing stands there: never made, removed, or lost."""
    UNREADABLE = "unreadable"
    """Its journal entry, or the directory itself."""


ADOPTED = (Verdict.COPY, Verdict.UNMARKED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A journal entry and what stands where its directory belongs; `detail` is for people."""

    uid: Uid
    verdict: Verdict
    detail: str
    record: Record | None = None
    inode: int | None = None


def survey(volume: Volume) -> Iterator[Candidate]:
    """Every entry of the journal of a locked storage volume, in the order of their uids; nothing is changed."""
    journal, directories = Journal(volume), Directories(volume)
    for uid in sorted(journal.uids()):
        try:
            record = journal.read(uid)
            if record is not None:
                yield _candidate(record, directories.standing(record))
        except (JournalError, VolumeError, OSError) as exc:
            yield Candidate(uid, Verdict.UNREADABLE, str(exc))


def adopt(volume: Volume, candidate: Candidate) -> None:
    """Take the directory that was surveyed for the one that was provisioned."""
    if candidate.record is None or candidate.verdict not in ADOPTED:
        raise JournalError(f"{candidate.uid} cannot be adopted: {candidate.verdict}")
    Journal(volume).write(replace(candidate.record, inode=candidate.inode))


def _candidate(record: Record, standing: Standing | None) -> Candidate:
    uid, identity = record.identity.uid, record.identity
    if standing is None or record.inode is None:
        return Candidate(uid, Verdict.MISSING, f"{identity}: {record.phase}", record)
    detail = f"{identity}: {standing.place}, inode {record.inode} -> {standing.inode}"
    if standing.token is None:
        return Candidate(uid, Verdict.UNCHANGED, f"{identity}: {standing.place}", record, standing.inode)
    verdict = {Token.SAME: Verdict.COPY, Token.MISSING: Verdict.UNMARKED, Token.OTHER: Verdict.OTHER}[standing.token]
    return Candidate(uid, verdict, detail, record, standing.inode)
