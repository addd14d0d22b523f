"""What happened to the directories of a case: what was asked for, what the engine said, where they may stand."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.evidence.snapshot import Snapshot

PRIVATE: Final = ".metrics-storage"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise; `promise` is P1 to P10."""

    promise: str
    message: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.message}"


@dataclass(slots=True)
class Subject:
    """One directory: what is in it, what was asked for it, and what the engine has said of it so far."""

    namespace: str
    name: str
    uid: str
    owner: int
    mode: int
    content: Snapshot | None = None
    """What it held when nobody wrote to it any more; None until it was filled."""
    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    """Actions asked for, and those that the engine said were done."""
    reason: str | None = None
    """Why it is in quarantine, once the engine said that this is latched."""
    holder_mode: int = 0o711
    """Mode of the namespace's directory that holds it."""
    broken: str = ""
    """Path of what cannot be read in it."""
    archive: dict[str, Any] | None = None
    """Path and digests of the archive, once the engine said that it is verified."""

    @property
    def title(self) -> str:
        """Name of its live directory."""
        return f"{self.name}_{self.uid}"

    @property
    def lost(self) -> frozenset[str]:
        """Paths that an archive may lack: a person said so, or is just saying it."""
        return frozenset({self.broken} if self.broken and "accept" in self.begun else ())


@dataclass(slots=True)
class History:
    """Everything that disk is judged against; the judge adds what it sees committed."""

    storage: Path
    quarantine: Path
    subjects: list[Subject]
    canaries: dict[Path, Snapshot] = field(default_factory=dict)
    """Trees that belong to others."""
    committed: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Inode, time of modification and digest of every file seen under a final name on the quarantine volume."""


def places(history: History, subject: Subject) -> dict[str, Path]:
    """Where the directory of a subject may stand."""
    return {
        "live": history.storage / subject.namespace / subject.title,
        "frozen": history.storage / PRIVATE / "frozen" / subject.uid,
        "trash": history.storage / PRIVATE / "trash" / subject.uid,
    }


def journal_of(history: History, subject: Subject) -> dict[str, Any] | str | None:
    """The journal's entry, None where there is none, or what is wrong with it."""
    path = history.storage / PRIVATE / "journal" / f"{subject.uid}.json"
    try:
        entry = json.loads(path.read_bytes())
        if entry["identity"]["uid"] != subject.uid or not {"phase", "inode", "quarantine"} <= entry.keys():
            return f"{path} is about something else: {entry}"
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as exc:
        return f"{path} is malformed: {exc!r}"
    return dict(entry)
