"""What whoever works on volumes for long does for them: wait for the lock, and look whether they are there."""

import asyncio
import logging
from typing import Final, Protocol

from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import VolumeError, VolumeLockedError, VolumeLostError

_log = logging.getLogger(__name__)

_LOCK_RETRY: Final = 2.0


class Waiting(Protocol):
    """Where probes see what start-up waits for, None when it is over."""

    waiting_for: str | None


async def lock_when_free(volume: Volume, health: Waiting) -> None:
    """Wait until no other process works on a volume, and say so meanwhile."""
    while True:
        try:
            volume.lock()
        except VolumeLockedError as exc:
            if health.waiting_for != str(exc):
                _log.warning("%s; waiting until it ends", exc)
            health.waiting_for = str(exc)
            await asyncio.sleep(_LOCK_RETRY)
        else:
            return


def lost_volume(*volumes: Volume) -> str | None:
    """Which of these volumes cannot be reached any more, and why."""
    for volume in volumes:
        try:
            volume.require_present()
        except VolumeLostError as exc:
            return str(exc)
        except VolumeError:
            pass  # Whatever else is wrong with it, a new container would not mend.
    return None
