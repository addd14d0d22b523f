"""The first and the last line of a manifest, without reading what is between: for lists of many archives.

What comes from here is a claim. Only `verify` reads everything.
"""

import json
import os
from dataclasses import fields
from typing import Any, Final

from metrics_storage.engine.archives.format.manifest import TRAILER, Header, Trailer, line_of
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.errors import ArchiveCorruptError

_LAST: Final = 4096
"""Longest trailer in bytes; it has eight counts by type at most and two digests."""

_TYPES: Final[dict[Any, type]] = {int: int, bool: bool, str: str, dict[str, int]: dict}


def read_summary(manifest_fd: int) -> tuple[Header, Trailer]:
    """Header and trailer of an open manifest.

    Raises:
        ArchiveCorruptError: one of them is not what the writer writes.
        OSError: reading failed.
    """
    header = ManifestReader(manifest_fd).header
    size = os.fstat(manifest_fd).st_size
    end = os.pread(manifest_fd, _LAST, max(0, size - _LAST))
    last = end.removesuffix(b"\n").rpartition(b"\n")[2] + b"\n"
    try:
        line = json.loads(last)
        trailer = Trailer(**{field.name: line[field.name] for field in fields(Trailer)})
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ArchiveCorruptError("manifest has no trailer: it is cut off or damaged") from exc
    values = {field.name: getattr(trailer, field.name) for field in fields(Trailer)}
    if line_of(TRAILER | values) != last or not all(
        type(values[field.name]) is _TYPES[field.type] for field in fields(Trailer)
    ):
        raise ArchiveCorruptError("manifest has a trailer in another form than is ever written")
    if not all(type(count) is int for count in trailer.types.values()):
        raise ArchiveCorruptError("manifest has a trailer that counts with something else than numbers")
    return header, trailer
