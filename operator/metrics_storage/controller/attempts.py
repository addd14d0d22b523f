"""One attempt at a time for each MetricsStorage, and when the next one is due."""

import asyncio
import time
from typing import Final
from weakref import WeakValueDictionary

from metrics_storage.model.error_reasons import MAX_RETRY_AFTER
from metrics_storage.model.identity import Uid

_OVERDUE: Final = MAX_RETRY_AFTER
"""Seconds after the time of the next attempt at which no handler will come by itself any more."""


class Attempts:
    """Locks and times by uid."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Uid, asyncio.Lock] = WeakValueDictionary()
        self._not_before: dict[Uid, float] = {}
        """When the next attempt is due, by the monotonic clock; of what was not tried yet, when it was first seen."""

    def lock(self, uid: Uid) -> asyncio.Lock:
        """What an attempt holds."""
        return self._locks.setdefault(uid, asyncio.Lock())

    def is_running(self, uid: Uid) -> bool:
        """Whether somebody is at it."""
        lock = self._locks.get(uid)
        return lock is not None and lock.locked()

    def retry_after(self, uid: Uid, seconds: float) -> None:
        """Have the next attempt wait."""
        self._not_before[uid] = time.monotonic() + seconds

    def may_run(self, uid: Uid) -> bool:
        """Whether nobody is at it and the next attempt need not wait any more."""
        return not self.is_running(uid) and time.monotonic() >= self._not_before.get(uid, 0)

    def is_overdue(self, uid: Uid) -> bool:
        """Whether nobody is at it, long after the next attempt was due."""
        due = self._not_before.setdefault(uid, time.monotonic())
        return not self.is_running(uid) and time.monotonic() - due > _OVERDUE

    def forget(self, uid: Uid) -> None:
        """Drop what is known of one that is gone."""
        self._not_before.pop(uid, None)
