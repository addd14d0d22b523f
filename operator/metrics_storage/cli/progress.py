"""Progress of long work on standard error: a bar on a terminal, now and then a line elsewhere.

Nothing appears for what is over in a moment, and nothing ever goes to standard output.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Self, TextIO, cast

from rich import progress
from rich.console import Console
from rich.table import Column

from metrics_storage.cli.output import is_terminal, note
from metrics_storage.cli.text import size

_DELAY: Final = 0.5
"""Seconds after which work is long enough for a bar."""

_REDRAW: Final = 0.1
_HEARTBEAT: Final = 30.0
"""Seconds between two lines where there is no terminal."""

_WIDE: Final = 100
"""Columns of a terminal from which on there is room for more than a share and the time that is left."""


class ProgressBar:
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
        self._bar = _bar(self._stream, clock) if is_terminal(self._stream) else None
        self._task = self._bar.add_task(what, total=total) if self._bar else progress.TaskID(0)
        self._next = clock() + (_DELAY if self._bar else _HEARTBEAT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, entries: int) -> None:
        """Show how far the work is, if it is time to."""
        now = self._clock()
        if self._quiet or now < self._next:
            return
        if self._bar is None:
            self._next = now + _HEARTBEAT
            share = min(done / self._total, 1.0) if self._total else 1.0
            line = f"{self._what}: {share:.0%}, {size(done)} of {size(self._total)}, {entries:,} entries"
            note(line, stream=self._stream)
            return
        self._next = now + _REDRAW
        self._bar.start()
        self._bar.update(self._task, completed=done, refresh=True)


class _Notes:
    """A stream for people to whom nobody may listen any more: what it does not take is lost, and work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.encoding = stream.encoding
        self._stream = stream

    def write(self, text: str) -> None:
        note(text, end="", stream=self._stream)

    def flush(self) -> None:
        """Nothing is left to flush: `note` does it."""


def _bar(stream: TextIO, clock: Callable[[], float]) -> progress.Progress:
    console = Console(file=cast(IO[str], _Notes(stream)), force_terminal=True)
    # What is left of the line is the description's; nothing ever takes a second line, which would not be removed.
    what = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    columns = [
        progress.TextColumn("{task.description}", markup=False, table_column=what),
        progress.TaskProgressColumn(table_column=Column(no_wrap=True)),
        progress.TimeRemainingColumn(table_column=Column(no_wrap=True)),
    ]
    if console.width >= _WIDE:
        columns += [
            progress.DownloadColumn(binary_units=True, table_column=Column(no_wrap=True)),
            progress.TransferSpeedColumn(table_column=Column(no_wrap=True)),
            progress.BarColumn(12),
        ]
    return progress.Progress(
        *columns,
        expand=True,
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        get_time=clock,
    )
