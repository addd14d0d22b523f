"""What the demo looks like: headings, prose, commands with their output, checks, and a clock while it waits.

Plain text; colours only on a terminal and without NO_COLOR (no-color.org). Knows nothing of what is shown.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final, TextIO

from tools.demo.errors import DemoError

__all__ = ["Screen"]

_WIDTH: Final = 100
_INDENT: Final = "    "
_PAUSE: Final = 1.5
"""Seconds of silence after which a wait is explained."""

_BEAT: Final = {True: 0.5, False: 10.0}
"""Seconds between two signs of life: on a terminal, where one line is rewritten, and elsewhere."""

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


class Screen:
    """Writes to `out`. `steps` is how many headings with a number there will be."""

    def __init__(self, steps: int, out: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._out = out if out is not None else sys.stdout
        self._terminal = self._out.isatty() and environment.get("TERM", "dumb") != "dumb"
        self._coloured = self._terminal and not environment.get("NO_COLOR")
        self._width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
        self._steps = steps
        self._step = 0
        self._checking = False
        self.checks = 0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the screen was made."""
        return time.monotonic() - self._started

    def title(self, text: str, subtitle: str) -> None:
        self._line()
        self._line(self._style(text, "bold"))
        self._line(self._style(subtitle, "dim"))

    def step(self, text: str) -> None:
        """A heading with the next number."""
        self._step += 1
        self._heading(f"{self._step}/{self._steps}", text)

    def end(self, text: str) -> None:
        """A heading without number."""
        self._heading("✓", text)

    def say(self, text: str) -> None:
        """A paragraph, wrapped."""
        self._line()
        for line in textwrap.wrap(" ".join(text.split()), self._width - 2, break_on_hyphens=False):
            self._line(f"  {line}")

    def command(self, text: str, who: str = "") -> None:
        """Commands before they run, continued where a line ends in a backslash; `who` runs them, if not the user."""
        self._line()
        if who:
            self._line(f"  {self._style(who, 'cyan')}")
        prompt = "$"
        for line in text.splitlines():
            self._line(f"  {self._style(prompt, 'cyan')} {self._style(line, 'bold')}")
            prompt = ">" if line.endswith("\\") else "$"

    def output(self, text: str) -> None:
        """What a command printed, or a picture."""
        width = self._width - len(_INDENT)
        for line in text.rstrip("\n").splitlines():
            for part in (
                textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
                if len(line) > width
                else [line]
            ):
                self._line(f"{_INDENT}{part}".rstrip())

    def picture(self, caption: str, text: str) -> None:
        """Something that the demo draws itself."""
        self._line()
        self._line(f"  {self._style(caption, 'cyan')}")
        self.output(text)

    def check(self, text: str, found: object, expected: object = True) -> None:
        """See that what was shown is true.

        Raises:
            DemoError: it is not.
        """
        if not self._checking:
            self._line()
        if found != expected:
            self._line(f"  {self._style('✗', 'red')} {text}")
            raise DemoError(f"{text}: expected {expected!r}, found {found!r}")
        self.checks += 1
        self._line(f"  {self._style('✓', 'green')} {text}")
        self._checking = True

    def failure(self, text: str) -> None:
        self._line()
        for number, line in enumerate(text.splitlines() or [""]):
            self._line(f"{self._style('✗', 'red') if number == 0 else ' '} {line}")

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Tell what is waited for, and for how long already, while the block takes its time."""
        done = threading.Event()
        clock = threading.Thread(target=self._tick, args=(what, done), daemon=True)
        clock.start()
        try:
            yield
        finally:
            done.set()
            clock.join()

    def _tick(self, what: str, done: threading.Event) -> None:
        began = time.monotonic()
        pause, shown = _PAUSE, False
        while not done.wait(pause):
            text = self._style(f"… {what} ({time.monotonic() - began:.0f} s)", "dim")
            self._write(f"\r\x1b[K{_INDENT}{text}" if self._terminal else f"{_INDENT}{text}\n")
            pause, shown = _BEAT[self._terminal], True
        if shown and self._terminal:
            self._write("\r\x1b[K")

    def _heading(self, label: str, text: str) -> None:
        rule = "─" * max(3, self._width - len(label) - len(text) - 6)
        self._line()
        self._line(f"{self._style(f'── {label}', 'dim')} {self._style(text, 'bold')} {self._style(rule, 'dim')}")

    def _style(self, text: str, name: str) -> str:
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self._coloured else text

    def _line(self, text: str = "") -> None:
        self._checking = False
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
