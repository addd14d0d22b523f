"""Progress of long work on standard error: a bar on a terminal, now and then a line elsewhere.

Nothing appears for what is over in a moment, and nothing ever goes to standard output.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from metrics_storage.cli.output import note
from metrics_storage.cli.tables import cut, size, width

_DELAY: Final = 0.5
"""Seconds after which work is long enough for a bar."""

_REDRAW: Final = 0.1
_HEARTBEAT: Final = 30.0
"""Seconds between two lines where there is no terminal."""

_BAR: Final = 24


class Progress:
    """One piece of work. Use as a context manager; call it with bytes and entries done so far."""

    def __init__(
        self,
        what: str,
        total: int,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work on `total` bytes, described in one printable line; `quiet` shows nothing."""
        self._what = what
        self._total = total
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._clock = clock
        self._columns = width(self._stream)
        self._started = clock()
        self._next = self._started + (_DELAY if self._columns else _HEARTBEAT)
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            note("\r\x1b[K", end="", stream=self._stream)

    def __call__(self, done: int, entries: int) -> None:
        """Show how far the work is, if it is time to."""
        now = self._clock()
        if self._quiet or now < self._next:
            return
        rate = done / max(now - self._started, 0.001)
        share = min(done / self._total, 1.0) if self._total else 1.0
        if self._columns is None:
            self._next = now + _HEARTBEAT
            line = f"{self._what}: {share:.0%}, {size(done)} of {size(self._total)}, {entries:,} entries"
            note(line, stream=self._stream)
            return
        self._next = now + _REDRAW
        self._drawn = True
        full = int(share * _BAR)
        left = (self._total - done) / rate if rate and self._total > done else 0.0
        line = f"{self._what}  {share:4.0%}"
        # What is less important than the name and the share stands only where there is room for it.
        for part in (
            f"{_duration(left)} left",
            f"{size(done)} of {size(self._total)}",
            f"{size(int(rate))}/s",
            f"[{'#' * full}{'.' * (_BAR - full)}]",
        ):
            if len(line) + 2 + len(part) < self._columns:
                line += f"  {part}"
        note("\r" + cut(line, self._columns - 1) + "\x1b[K", end="", stream=self._stream)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
