"""Scrubbing: committed archives are read again, one after the other, to find out when bits have rotted.

A round goes through all archives in the order of their names. Where it stands, and what was found, is one small
file on the quarantine volume, so that a restart goes on and the last archive is read too. Nothing is
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
from typing import Final

from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.store import ArchiveStore, Stored, identity_of
from metrics_storage.engine.fs import durable
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import (
    ArchiveCorruptError,
    InterruptedByEndError,
    InvalidSpecError,
    JournalError,
    VolumeError,
)
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Archive, Record
from metrics_storage.model.scrubbing import Finding, ScrubState, Verdict

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


@dataclass(slots=True)
class _Note:
    """What is kept on the volume: how far the round is; `after` is the path of the last archive that was read."""

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
                raise InterruptedByEndError("scrubbing goes on at the next start")

        return hold


class Scrubber:
    """Reads the archives of a volume again. Its methods are for one thread at a time."""

    def __init__(self, store: ArchiveStore, pace: Pace, recorded: Callable[[Uid], Record | None] | None = None) -> None:
        """Scrub a volume; `recorded` gives the journal's record of a uid, whose digests must then agree."""
        self._store = store
        self._pace = pace
        self._recorded = recorded or (lambda _: None)
        self._pending: list[Stored] = []
        self._note = self._load()
        self._known = 0
        self._read_bytes = 0

    @property
    def state(self) -> ScrubState:
        """How far scrubbing is."""
        note = self._note
        return ScrubState(
            round_started_at=note.round_started_at,
            round_completed_at=note.round_completed_at,
            archives=self._known,
            corrupt=tuple(note.corrupt),
            read_bytes=self._read_bytes,
        )

    def count(self) -> None:
        """Look at what is there, without reading any of it."""
        self._store.volume.check()
        found = self._store.archives()
        self._known = sum(stored.complete for stored in found)
        paths = {stored.path for stored in found}
        self._note.corrupt = [path for path in self._note.corrupt if path in paths]

    def begin_round(self) -> None:
        """Begin a round, or go on with the one that was interrupted."""
        note = self._note
        if note.round_started_at <= note.round_completed_at:
            note.round_started_at, note.after = time.time(), ""
        self.count()
        pending = (stored for stored in self._store.archives() if stored.path > note.after)
        self._pending = sorted(pending, key=lambda stored: stored.path, reverse=True)
        self._save()

    def step(self) -> Finding | None:
        """Read the next archive of the round; None when the round is over.

        Raises:
            VolumeError: the volume is not what it was; the archive is read again later.
            InterruptedByEndError: the process ends.
            OSError: reading failed for a reason that says nothing about the archive.
        """
        self._store.volume.check()
        if not self._pending:
            self._note.round_completed_at = max(time.time(), self._note.round_started_at)
            self._save()
            return None
        stored = self._pending[-1]
        finding = self._scrub(stored)
        self._pending.pop()
        self._read_bytes += finding.bytes
        note = self._note
        note.after = stored.path
        note.corrupt = [path for path in note.corrupt if path != stored.path]
        if finding.verdict is Verdict.CORRUPT:
            note.corrupt.append(stored.path)
        self._save()
        return finding

    def _scrub(self, stored: Stored) -> Finding:
        try:
            verified = self._store.verify(stored, progress=self._pace.begin())
            self._require_recorded(stored, verified)
        except ArchiveCorruptError as exc:
            problem = str(exc)
        except OSError as exc:
            if exc.errno in _PASSING:
                raise
            problem = f"cannot be read: {exc.strerror}"
        else:
            return Finding(stored.path, Verdict.SOUND, verified.archive_bytes)
        # A volume that was taken away makes everything look corrupt, and so does a prune in the middle.
        self._store.volume.check()
        if not self._store.exists(stored):
            return Finding(stored.path, Verdict.GONE)
        return Finding(stored.path, Verdict.CORRUPT, problem=problem, identity=self._identity(stored))

    def _identity(self, stored: Stored) -> Identity | None:
        """Whose archive it is by its manifest, or by its name where that is unreadable."""
        try:
            header = self._store.describe(stored).header
            return identity_of(header) if header else Identity(stored.namespace, stored.name, stored.uid)
        except (ArchiveCorruptError, InvalidSpecError, OSError):
            return None

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

    def _load(self) -> _Note:
        try:
            note = _Note(**json.loads(durable.read_file(_STATE, self._store.volume.private_fd)))
            note.round_started_at, note.round_completed_at = (
                float(note.round_started_at),
                float(note.round_completed_at),
            )
            note.after, note.corrupt = str(note.after), [str(path) for path in note.corrupt]
        except FileNotFoundError:
            return _Note()
        except (ValueError, TypeError, OSError) as exc:
            _log.warning("what scrubbing had noted is unreadable (%s): it begins anew", exc)
            return _Note()
        return note

    def _save(self) -> None:
        """Note how far it is; where that cannot be written, a restart only repeats work."""
        data = json.dumps(asdict(self._note), separators=(",", ":")).encode() + b"\n"
        try:
            durable.write_file(_STATE, data, self._store.volume.private_fd)
        except OSError as exc:
            _log.warning("%s/%s cannot be written: %s", self._store.volume.path, _STATE, os.strerror(exc.errno or 0))
