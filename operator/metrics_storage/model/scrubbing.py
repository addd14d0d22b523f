"""What is known of archives that are read again: the verdict on one, and how far the round through all of them is."""

from dataclasses import dataclass
from enum import Enum, auto

from metrics_storage.model.identity import Identity


class Verdict(Enum):
    """What became of one archive."""

    SOUND = auto()
    CORRUPT = auto()
    GONE = auto()
    """A person pruned it meanwhile."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What reading one archive found.

    `path` is relative to the quarantine volume, `bytes` the size of the archive that was read. `identity` is whose a
    corrupt archive is; None where neither its manifest nor its name says so.
    """

    path: str
    verdict: Verdict
    bytes: int = 0
    problem: str = ""
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class ScrubState:
    """How far scrubbing is; times in seconds since 1970, 0 for never.

    `archives` is how many complete ones there were when they were last counted, `corrupt` the paths of those that
    were found corrupt and are still there, `read_bytes` what was read since the start.
    """

    round_started_at: float = 0.0
    round_completed_at: float = 0.0
    archives: int = 0
    corrupt: tuple[str, ...] = ()
    read_bytes: int = 0

    def is_due(self, interval: float, now: float) -> bool:
        """Whether a round is unfinished, or the last one began longer than `interval` seconds ago."""
        unfinished = self.round_started_at > self.round_completed_at
        # A clock that was set back must not hold scrubbing up.
        return unfinished or not self.round_started_at <= now < self.round_started_at + interval
