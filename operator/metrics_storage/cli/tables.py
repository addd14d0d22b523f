"""Tables that fit the width of a terminal."""

import io
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metrics_storage.cli.output import is_terminal

_UNLIMITED: Final = 1_000_000


def width() -> int | None:
    """Columns of the terminal at standard output, None where that is none."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    columns: int | None,
    *,
    right: Collection[str] = (),
    elastic: Collection[str] = (),
) -> list[str]:
    """Lines of a table; nothing is cut where `columns` is None.

    Args:
        rows: cells without anything that could control a terminal.
        right: heads of the columns that are aligned to the right.
        elastic: heads of the columns that are cut where the table is too wide, the widest first.
    """
    drawn = Table(box=None, pad_edge=False, header_style="")
    for title in head:
        drawn.add_column(title, justify="right" if title in right else "left", no_wrap=title not in elastic)
    for row in rows:
        drawn.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    lines = io.StringIO()
    Console(file=lines, width=columns or _UNLIMITED, color_system=None).print(drawn)
    return [line.rstrip() for line in lines.getvalue().splitlines()]
