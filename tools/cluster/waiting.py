"""Waiting until a process of the cluster is ready, and no longer than it lives."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable

from tools.cluster.errors import ClusterError
from tools.cluster.processes import Process
from tools.cluster.progress import tail

__all__ = ["wait_until"]

READY_SECONDS = 60.0


def wait_until(what: str, probe: Callable[[], bool], process: Process, seconds: float = READY_SECONDS) -> None:
    """Wait until `probe` is true; refused connections and unfinished answers count as not yet.

    Raises ClusterError with the end of the log as soon as the process has ended or the time is over.
    """
    end = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if probe():
                return
        except ssl.SSLCertVerificationError as exc:
            raise ClusterError(f"{what}: {exc}; another server may have taken its port") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            last = exc
        if not process.alive():
            raise ClusterError(
                f"{process.name} ended instead of serving; the end of {process.log}:\n{tail(process.log)}"
            )
        if time.monotonic() > end:
            raise ClusterError(
                f"waited {seconds:g} s in vain until {what} (last: {last}); the end of {process.log}:\n"
                f"{tail(process.log)}"
            )
        time.sleep(0.05)
