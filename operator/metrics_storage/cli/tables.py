"""Text for people at a terminal: tables that fit its width, sizes, and nothing that could control it."""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TextIO

from metrics_storage.cli.output import is_terminal
from metrics_storage.engine.fs.walk import printable

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_COMFORTABLE: Final = 24
_LEAST: Final = 12
_NARROW: Final = 8
"""Columns that the last column of a table should have, that an elastic one keeps, that the last one keeps."""

_KINDS: Final = {
    "block": ("block device", "block devices"),
    "character": ("character device", "character devices"),
    "directory": ("directory", "directories"),
    "fifo": ("FIFO", "FIFOs"),
    "symlink": ("symbolic link", "symbolic links"),
    "unknown": ("unreadable entry", "unreadable entries"),
}


def shown(text: str) -> str:
    """Text from somewhere else, with everything escaped that is not plainly printed (controls, direction marks)."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def size(number: int) -> str:
    """Bytes in the unit that suits."""
    if number < 1024:
        return f"{number} B"
    power = 1
    while power < len(_UNITS) and number >= 1023.95 * 1024**power:
        power += 1
    return f"{number / 1024**power:.1f} {_UNITS[power - 1]}"


def count(number: int, one: str, several: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def kinds(numbers: Mapping[str, int]) -> str:
    """How many entries there are of each type, in words."""
    return ", ".join(count(number, *_KINDS.get(kind, (shown(kind), ""))) for kind, number in sorted(numbers.items()))


def width(stream: TextIO | None = None) -> int | None:
    """Columns of a terminal, None where the stream (standard output by default) is none."""
    return shutil.get_terminal_size().columns if is_terminal(stream or sys.stdout) else None


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], columns: int | None, *, right: str = "", elastic: str = ""
) -> Iterable[str]:
    """Lines of a table whose last column is cut to fit; nothing is cut where `columns` is None.

    Args:
        right: heads of the columns that are aligned to the right.
        elastic: head of the column that is cut too, where the last one would have little room otherwise.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(_columns(line[i]) for line in lines) for i in range(len(head))]
    if columns is not None:
        room = columns - sum(widths[:-1]) - 2 * (len(head) - 1)
        if elastic and room < _COMFORTABLE:
            i = head.index(elastic)
            given = max(0, min(_COMFORTABLE - room, widths[i] - _LEAST))
            widths[i] -= given
            room += given
        widths[-1] = max(room, _NARROW)
    for line in lines:
        cells = []
        for text, wide, title in zip(line, widths, head, strict=True):
            cell = text if columns is None else cut(text, wide)
            fill = " " * (wide - _columns(cell))
            cells.append(fill + cell if title in right.split() else cell + fill)
        yield "  ".join(cells).rstrip()


def cut(text: str, columns: int) -> str:
    """Text that takes at most so many columns, with an ellipsis where something is missing."""
    if _columns(text) <= columns:
        return text
    while text and _columns(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text if not unicodedata.combining(char)
    )


def shown_path(path: bytes) -> str:
    """A path from an archive in one line: readable where it is text, every other byte and backslash escaped."""
    try:
        return shown(path.decode().replace("\\", "\\\\"))
    except UnicodeDecodeError:
        return printable(path, limit=len(path))
