"""Pruning: which archives a person means, by age, by number, by being superseded; and never what is still needed.

An archive is needed until the journal of its storage volume says that its source is gone or knows
nothing of it any more. Without a journal, what is young or incomplete counts as needed.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from metrics_storage.engine.archives.store import ArchiveStore, Description
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import DirectoryExistsError, InvalidSpecError, JournalError, JournalMismatchError
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Phase
from metrics_storage.timestamps import utc_now

SETTLED: Final = 24 * 3600.0
"""Age in seconds under which an archive is kept where no journal can be asked: a quarantine ends sooner, or hangs
visibly, with its source kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to prune; everything given must hold. Ages in seconds.

    `keep_last` spares that many of the latest archives of each namespace and name. `superseded` takes only
    archives that are not clean and were followed by a clean one of the same uid; `incomplete` only what lacks its
    archive or manifest, which nothing else here takes.
    """

    older_than: float | None = None
    keep_last: int | None = None
    superseded: bool = False
    incomplete: bool = False


def select(found: Sequence[Description], selection: Selection, now: float) -> list[Description]:
    """The archives that a selection means; `now` in seconds since 1970. What it means may still be needed."""
    spared = _latest(found, selection.keep_last) if selection.keep_last is not None else frozenset()
    cleaned = _clean_attempts(found)
    return [
        one
        for one in found
        if one.stored.complete is not selection.incomplete
        and (one.header is not None or selection.incomplete)
        and (selection.older_than is None or age(one, now) > selection.older_than)
        and one.stored.path not in spared
        and (not selection.superseded or _is_superseded(one, cleaned))
    ]


def age(one: Description, now: float) -> float:
    """Age in seconds by whichever is later, what the manifest says or the time of the files."""
    created = one.modified_at
    if one.header is not None:
        try:
            created = max(created, datetime.fromisoformat(one.header.created_at).astimezone(UTC).timestamp())
        except (ValueError, OverflowError):
            return 0.0
    return now - created


class Pruning:
    """Says of archives whether they are still needed, from the journal of a storage volume where one is given."""

    def __init__(self, store: ArchiveStore, storage: Volume | None, found: Sequence[Description]) -> None:
        """Ask about archives of a store, of which `found` is everything: what follows an archive decides about it.

        Raises:
            JournalMismatchError: the storage volume belongs with another quarantine volume.
        """
        if storage is not None:
            _require_partners(storage, store.volume)
        self._store = store
        self._journal = Journal(storage) if storage else None
        self._directories = Directories(storage) if storage else None
        self._cleaned = _clean_attempts(found)

    def reason(self, one: Description, now: float) -> str | None:
        """Why an archive must be kept; None if nothing needs it any more."""
        if self._journal is not None and self._directories is not None:
            return self._journalled(one, self._journal, self._directories)
        if age(one, now) < SETTLED:
            return "younger than 24 h, and without --storage-root nobody knows whether its source is gone"
        if one.trailer is not None and not one.trailer.clean and not _is_superseded(one, self._cleaned):
            return "not clean and the only one: without --storage-root nobody knows whether its source is gone"
        return None

    def remove(self, one: Description, removed_by: str) -> str | None:
        """Remove an archive for good unless it is needed by now; returns why it is kept, None where it was removed."""
        self._store.volume.check()
        if reason := self.reason(one, time.time()):
            return reason
        account = {
            "removed_at": utc_now(),
            "removed_by": removed_by,
            "archive": one.stored.path,
            "sha256": one.trailer.archive_sha256 if one.trailer else None,
            "created_at": one.header.created_at if one.header else None,
        }
        self._store.remove(one.stored, account)
        return None

    def _journalled(self, one: Description, journal: Journal, directories: Directories) -> str | None:
        try:
            record = journal.read(one.stored.uid)
            if record is not None:
                return None if record.phase is Phase.GONE else f"its source is {record.phase}, not Gone"
            # Names that were cut still name the same directories where these are not live.
            name = one.header.name if one.header else one.stored.name
            identity = Identity(one.stored.namespace, name, one.stored.uid)
            place = directories.occupied(identity)
        except (JournalError, DirectoryExistsError, InvalidSpecError) as exc:
            return str(exc)
        return f"its source is on the storage volume ({place}), but the journal does not know it" if place else None


def _require_partners(storage: Volume, quarantine: Volume) -> None:
    """See that the journal is the one of these archives: another one would know none of them, and free them all."""
    if storage.partner not in (None, quarantine.id):
        raise JournalMismatchError(
            f"storage volume {storage.path} belongs with quarantine volume {storage.partner}, not with "
            f"{quarantine.path} ({quarantine.id}): its journal knows nothing of these archives"
        )


def _latest(found: Iterable[Description], number: int) -> frozenset[str]:
    """Paths of the latest complete archives of each namespace and name."""

    def runner(one: Description) -> tuple[str, str]:
        return one.stored.namespace, one.header.name if one.header else one.stored.name

    def order(one: Description) -> tuple[str, int]:
        return one.header.created_at if one.header else "", one.stored.attempt

    complete = sorted((one for one in found if one.stored.complete), key=runner)
    kept: list[Description] = []
    for _, group in groupby(complete, key=runner):
        kept.extend(sorted(group, key=order, reverse=True)[:number])
    return frozenset(one.stored.path for one in kept)


def _clean_attempts(found: Iterable[Description]) -> dict[str, int]:
    """The latest clean attempt of each uid."""
    result: dict[str, int] = {}
    for one in found:
        if one.trailer is not None and one.trailer.clean:
            result[one.stored.uid] = max(one.stored.attempt, result.get(one.stored.uid, 0))
    return result


def _is_superseded(one: Description, cleaned: dict[str, int]) -> bool:
    return one.trailer is not None and not one.trailer.clean and cleaned.get(one.stored.uid, 0) > one.stored.attempt
