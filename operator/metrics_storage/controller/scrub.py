"""The scrub of this operator: a thread of its own that reads archives again, and who is told what it found."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from metrics_storage.controller.events import Events
from metrics_storage.engine.archives.scrub import Finding, Pace, Scrubber, ScrubInterruptedError, Verdict
from metrics_storage.engine.archives.store import ArchiveStore, Stored, identity_of
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import ArchiveCorruptError, InvalidSpecError
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Record

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_LOOK: Final = 600.0
"""Most seconds between two looks at how many archives there are and whether a round is due."""

_REASON: Final = "ArchiveCorrupt"


class Scrub:
    """Scrubs a quarantine volume at a set pace, until cancelled.

    The thread has the usual priority: one of low priority could hold the interpreter's lock without getting the
    processor, and hold up everything else. Its share is bounded by the rate instead.
    """

    def __init__(
        self,
        quarantine: Volume,
        events: Events,
        *,
        interval: float,
        rate: float,
        recorded: Callable[[str], Record | None] | None = None,
    ) -> None:
        """Begin a round every `interval` seconds (0: never) and read at most `rate` bytes of content a second.

        `recorded` gives the journal's record of a uid; it is called in the scrub's thread.
        """
        self._vault = ArchiveStore(quarantine)
        self._events = events
        self._interval = interval
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scrub")
        self.scrubber = Scrubber(self._vault, Pace(rate, self._stop), recorded)

    def close(self) -> None:
        """Interrupt what is being read and wait for the thread."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    async def run(self) -> None:
        """Scrub until cancelled. Errors are logged, and the round goes on at the next look."""
        while True:
            try:
                await self._in_thread(self.scrubber.count)
                if self._interval and self.scrubber.is_due(self._interval, time.time()):
                    await self.once()
            except ScrubInterruptedError:
                return
            except Exception as exc:
                _log.warning("scrubbing was interrupted and goes on in %g s: %s", _LOOK, exc)
            await asyncio.sleep(min(_LOOK, self._interval or _LOOK))

    async def once(self) -> None:
        """Finish the round that was begun, or do one."""
        await self._in_thread(self.scrubber.begin_round)
        sound = corrupt = 0
        while finding := await self._in_thread(self.scrubber.step):
            sound += finding.verdict is Verdict.SOUND
            corrupt += finding.verdict is Verdict.CORRUPT
            if finding.verdict is Verdict.CORRUPT:
                await self._tell(finding)
        level = logging.ERROR if corrupt else logging.INFO
        _log.log(level, "scrubbed %s: %d archives sound, %d corrupt", self._vault.volume.path, sound, corrupt)

    async def _tell(self, finding: Finding) -> None:
        stored = finding.stored
        message = f"archive {stored.path} is corrupt: {finding.problem}"
        _log.error("%s; restore it from a copy of %s", message, self._vault.volume.path)
        identity = await self._in_thread(lambda: self._identity(stored))
        if identity is not None:
            await self._events.warn(identity, _REASON, message)

    def _identity(self, stored: Stored) -> Identity | None:
        """Whose archive it is by its manifest, or by its name where that is unreadable."""
        try:
            header = self._vault.describe(stored).header
            return identity_of(header) if header else Identity(stored.namespace, stored.name, stored.uid)
        except (ArchiveCorruptError, InvalidSpecError, OSError):
            return None

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
