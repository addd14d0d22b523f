"""Text for people at a terminal: sizes, numbers, and nothing that could control it."""

from collections.abc import Mapping
from typing import Final

from metrics_storage.engine.fs.walk import printable

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

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


def shown_path(path: bytes) -> str:
    """A path from an archive in one line: readable where it is text, every other byte and backslash escaped."""
    try:
        return shown(path.decode().replace("\\", "\\\\"))
    except UnicodeDecodeError:
        return printable(path, limit=len(path))
