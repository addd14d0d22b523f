"""When archives are read again, and who is told what that found."""

import asyncio
import logging
import time
from typing import Final

from metrics_storage.controller.engine_api import Scrubber
from metrics_storage.controller.events import Events
from metrics_storage.errors import InterruptedByEndError
from metrics_storage.model import reasons
from metrics_storage.model.scrubbing import Finding, Verdict

_log = logging.getLogger(__name__)

_LOOK: Final = 600.0
"""Most seconds between two looks at how many archives there are and whether a round is due."""


class Scrub:
    """Has the archives of a quarantine volume read again, until cancelled."""

    def __init__(self, scrubber: Scrubber, events: Events, *, interval: float) -> None:
        """Begin a round every `interval` seconds (0: never)."""
        self._scrubber = scrubber
        self._events = events
        self._interval = interval

    async def run(self) -> None:
        """Scrub until cancelled. Errors are logged, and the round goes on at the next look."""
        while True:
            try:
                await self._scrubber.count()
                if self._interval and self._scrubber.state.is_due(self._interval, time.time()):
                    await self.once()
            except InterruptedByEndError:
                return
            except Exception as exc:
                _log.warning("scrubbing was interrupted and goes on in %g s: %s", _LOOK, exc)
            await asyncio.sleep(min(_LOOK, self._interval or _LOOK))

    async def once(self) -> None:
        """Finish the round that was begun, or do one."""
        await self._scrubber.begin_round()
        sound = corrupt = 0
        while finding := await self._scrubber.step():
            sound += finding.verdict is Verdict.SOUND
            corrupt += finding.verdict is Verdict.CORRUPT
            if finding.verdict is Verdict.CORRUPT:
                await self._tell(finding)
        level = logging.ERROR if corrupt else logging.INFO
        _log.log(level, "scrubbed the quarantine volume: %d archives sound, %d corrupt", sound, corrupt)

    async def _tell(self, finding: Finding) -> None:
        message = f"archive {finding.path} is corrupt: {finding.problem}"
        _log.error("%s; restore it from a copy of the quarantine volume", message)
        if finding.identity is not None:
            await self._events.warn(finding.identity, reasons.ARCHIVE_CORRUPT, message)
