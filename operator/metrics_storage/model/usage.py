"""What a directory uses, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk space in bytes (directories included) and the number of entries that are not directories."""

    bytes: int
    files: int
