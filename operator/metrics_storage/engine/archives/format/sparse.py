"""Files with holes, in the form PAX sparse 1.0 of GNU tar: a map of the data, then the data alone.

The map is text (number of extents, then offset and size of each, a number a line), filled with zeros to whole
blocks of 512 bytes. An empty extent at the end gives the size of a file that ends in a hole.
"""

import errno
import os
import re
from array import array
from collections.abc import Callable
from typing import Final

BLOCK: Final = 512
EXTENTS_MAX: Final = 1024 * 1024
"""Most extents that are kept in memory for one file; one costs its owner a block of disk."""

_MAP_MAX: Final = 48 * EXTENTS_MAX
"""Longest map in bytes: offset and size of each extent have at most 19 digits."""

_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,18}")


def data_extents(fd: int, size: int) -> "array[int]":
    """Where the first `size` bytes of an open file hold data: offset, size, offset, size ... in bytes.

    Raises:
        OSError: EFBIG where there are too many to remember, otherwise as lseek(2).
    """
    extents = array("q")
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                break
            raise
        if start >= size:
            break
        offset = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        extents.extend((start, offset - start))
        if len(extents) > 2 * EXTENTS_MAX:
            raise OSError(errno.EFBIG, f"more than {EXTENTS_MAX} extents of data")
    return extents


def encode_map(extents: "array[int]", size: int) -> bytes:
    """The map that precedes the data of a file of this size."""
    numbers = array("q", extents)
    if not extents or extents[-2] + extents[-1] < size:
        numbers.extend((size, 0))
    text = "\n".join(map(str, (len(numbers) // 2, *numbers))).encode() + b"\n"
    return text + bytes(-len(text) % BLOCK)


def read_map(read: Callable[[int], bytes], payload: int, size: int) -> "tuple[bytes, array[int]]":
    """The map that begins a sparse payload of `payload` bytes, for a file of `size` bytes: as stored, and as extents.

    `read` gives exactly the asked number of bytes; what is left to it afterwards is the data.

    Raises:
        ValueError: the map is malformed, contradicts the sizes or is longer than is ever written.
    """
    blocks: list[bytes] = []
    text = b""

    def number() -> int:
        nonlocal text
        if b"\n" not in text:
            if (len(blocks) + 1) * BLOCK > min(_MAP_MAX, payload):
                raise ValueError("sparse map is longer than the content")
            blocks.append(read(BLOCK))
            text += blocks[-1]
        digits, newline, text = text.partition(b"\n")
        if not newline or not _NUMBER.fullmatch(digits):
            raise ValueError(f"sparse map has {digits[:24]!r} in place of a number")
        return int(digits)

    extents = array("q")
    data = end = 0
    for _ in range(number()):
        offset, length = number(), number()
        if offset < end or offset + length > size:
            raise ValueError(f"sparse map puts {length} bytes at {offset} in a file of {size}, after {end}")
        extents.extend((offset, length))
        end = offset + length
        data += length
    taken = len(blocks) * BLOCK
    if text.strip(b"\0") or taken + data != payload or end != size:
        raise ValueError(f"sparse map describes {taken + data} bytes up to {end}, expected {payload} up to {size}")
    return b"".join(blocks), extents
