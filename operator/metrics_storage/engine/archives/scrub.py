"""Scrubbing: committed archives are read again, one after the other, to find out when bits have rotted.

A round goes through all archives in the order of their names. Where it stands, and what was found, is one small
file on the quarantine volume, so that a restart goes on and the last archive gets its turn too. Nothing is
mended and nothing removed. Who is told is the controller's business.
"""

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Final

from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.store import ArchiveStore, Stored
from metrics_storage.engine.fs import durable
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import ArchiveCorruptError, JournalError, MetricsStorageError, VolumeError
from metrics_storage.model.record import Archive, Record

_log = logging.getLogger(__name__)

_STATE: Final = "scrub.json"
_ENTRY: Final = 4096
"""Bytes that an entry counts for beside its content: decoding its line costs about as much."""

_PASSING: Final = frozenset(
    (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    )
)
"""Errors of the machine or the network, which says nothing about an archive; what else stops reading does."""


class ScrubInterruptedError(MetricsStorageError):
    """The process ends; the archive is read again at the next start."""


class Verdict(Enum):
    """What became of one archive."""

    SOUND = auto()
    CORRUPT = auto()
    GONE = auto()
    """A person pruned it meanwhile."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What scrubbing one archive found; `bytes` is the size of the archive that was read."""

    stored: Stored
    verdict: Verdict
    bytes: int = 0
    problem: str = ""


@dataclass(slots=True)
class State:
    """How far the round is; times in seconds since 1970, 0 for never. `corrupt` are paths of archives."""

    round_started_at: float = 0.0
    round_completed_at: float = 0.0
    after: str = ""
    corrupt: list[str] = field(default_factory=list)


class Pace:
    """Holds work back to a rate in bytes a second, and ends it when `stop` is set."""

    def __init__(self, rate: float, stop: threading.Event) -> None:
        self._rate = rate
        self._stop = stop

    def begin(self) -> Progress:
        """What to call with the bytes and entries that are done of the next archive."""
        started = time.monotonic()

        def hold(done: int, entries: int) -> None:
            due = started + (done + entries * _ENTRY) / self._rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                raise ScrubInterruptedError("scrubbing goes on at the next start")

        return hold


class Scrubber:
    """Reads the archives of a volume again. Its methods are for one thread at a time."""

    def __init__(self, vault: ArchiveStore, pace: Pace, recorded: Callable[[str], Record | None] | None = None) -> None:
        """Scrub a volume; `recorded` gives the journal's record of a uid, whose digests must then agree."""
        self._vault = vault
        self._pace = pace
        self._recorded = recorded or (lambda _: None)
        self._pending: list[Stored] = []
        self.state = self._load()
        self.known = 0
        """Complete archives on the volume when they were last counted."""
        self.read_bytes = 0
        """Bytes of archives read since the start."""

    def is_due(self, interval: float, now: float) -> bool:
        """Whether a round is unfinished, or the last one began longer than `interval` seconds ago."""
        state = self.state
        unfinished = state.round_started_at > state.round_completed_at
        # A clock that was set back must not hold scrubbing up.
        return unfinished or not state.round_started_at <= now < state.round_started_at + interval

    def count(self) -> None:
        """Look at what is there, without reading any of it."""
        self._vault.volume.check()
        found = self._vault.archives()
        self.known = sum(stored.complete for stored in found)
        paths = {stored.path for stored in found}
        self.state.corrupt = [path for path in self.state.corrupt if path in paths]

    def begin_round(self) -> None:
        """Begin a round, or go on with the one that was interrupted."""
        state = self.state
        if state.round_started_at <= state.round_completed_at:
            state.round_started_at, state.after = time.time(), ""
        self.count()
        pending = (stored for stored in self._vault.archives() if stored.path > state.after)
        self._pending = sorted(pending, key=lambda stored: stored.path, reverse=True)
        self._save()

    def step(self) -> Finding | None:
        """Read the next archive of the round; None when the round is over.

        Raises:
            VolumeError: the volume is not what it was; the archive is read again later.
            ScrubInterruptedError: the process ends.
            OSError: reading failed for a reason that says nothing about the archive.
        """
        self._vault.volume.check()
        if not self._pending:
            self.state.round_completed_at = max(time.time(), self.state.round_started_at)
            self._save()
            return None
        stored = self._pending[-1]
        finding = self._scrub(stored)
        self._pending.pop()
        self.read_bytes += finding.bytes
        state = self.state
        state.after = stored.path
        state.corrupt = [path for path in state.corrupt if path != stored.path]
        if finding.verdict is Verdict.CORRUPT:
            state.corrupt.append(stored.path)
        self._save()
        return finding

    def _scrub(self, stored: Stored) -> Finding:
        try:
            verified = self._vault.verify(stored, progress=self._pace.begin())
            self._require_recorded(stored, verified)
        except ArchiveCorruptError as exc:
            problem = str(exc)
        except OSError as exc:
            if exc.errno in _PASSING:
                raise
            problem = f"cannot be read: {exc.strerror}"
        else:
            return Finding(stored, Verdict.SOUND, verified.archive_bytes)
        # A volume that was taken away makes everything look corrupt, and so does a prune in the middle.
        self._vault.volume.check()
        if not self._vault.exists(stored):
            return Finding(stored, Verdict.GONE)
        return Finding(stored, Verdict.CORRUPT, problem=problem)

    def _require_recorded(self, stored: Stored, verified: VerifiedArchive) -> None:
        try:
            record = self._recorded(stored.uid)
        except (JournalError, VolumeError):
            # Errors of the storage volume are told elsewhere, and must not hold up the quarantine volume's scrub.
            record = None
        quarantine = record.quarantine if record else None
        archives: tuple[Archive | None, ...] = (quarantine.archive, quarantine.provisional) if quarantine else ()
        for archive in archives:
            if archive is None or archive.path != stored.path:
                continue
            if (archive.sha256, archive.manifest_sha256) != (verified.archive_sha256, verified.manifest_sha256):
                raise ArchiveCorruptError(
                    f"archive and manifest agree, but have the SHA-256 {verified.archive_sha256} and "
                    f"{verified.manifest_sha256}; the journal says {archive.sha256} and {archive.manifest_sha256}: "
                    "they were replaced"
                )

    def _load(self) -> State:
        try:
            state = State(**json.loads(durable.read_file(_STATE, self._vault.volume.private_fd)))
            state.round_started_at, state.round_completed_at = (
                float(state.round_started_at),
                float(state.round_completed_at),
            )
            state.after, state.corrupt = str(state.after), [str(path) for path in state.corrupt]
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, OSError) as exc:
            _log.warning("what scrubbing had noted is unreadable (%s): it begins anew", exc)
            return State()
        return state

    def _save(self) -> None:
        """Note how far it is; where that cannot be written, a restart only repeats work."""
        data = json.dumps(asdict(self.state), separators=(",", ":")).encode() + b"\n"
        try:
            durable.write_file(_STATE, data, self._vault.volume.private_fd)
        except OSError as exc:
            _log.warning("%s/%s cannot be written: %s", self._vault.volume.path, _STATE, os.strerror(exc.errno or 0))
