"""What a file contains, as digests that do not depend on how its file system lays it out.

Where a file has holes, reserved space or written zeros is the file system's business, and reading alone may change
it. Two files are the same here if their bytes are, whatever SEEK_DATA says of them. Nothing here touches the disk.
"""

from hashlib import sha256
from typing import Final

BLOCK: Final = 4096
"""Bytes that are a block, counted from the beginning of the file."""

PLAIN_MAX: Final = 1 << 30
"""Largest file with holes, in bytes, that has a plain digest: hashing its holes takes time, reading them none."""

PLAIN_TOTAL: Final = 16 << 30
"""Bytes that all such files of an archive have together: a file of nothing but a hole costs its owner nothing."""

_ZEROS: Final = bytes(64 * BLOCK)
_ZERO_BLOCK: Final = bytes(BLOCK)


class Content:
    """Digests of a file that is told from its beginning to its end, in pieces of any size.

    `blocks_sha256` is of a text: for each run of blocks that are not all zeros, as long as can be, a line with its
    first byte and its length, then the hexadecimal SHA-256 of the bytes of all runs. The last block may be shorter.
    """

    def __init__(self, *, plain: bool) -> None:
        """Begin a file; without `plain` its holes cost nothing, and only `blocks_sha256` is known."""
        self._data = sha256()
        """Of the bytes of all runs."""
        self._plain = self._data if plain else None
        """Of all bytes: the same object until there are zeros."""
        self._runs = sha256()
        self._run: int | None = None
        """First byte of the run that is not at its end yet."""
        self._offset = 0
        self._partial = b""
        """What is known of the block at `_offset`."""

    def data(self, piece: bytes) -> None:
        """Go on with these bytes."""
        begin = 0
        if self._partial:
            begin = BLOCK - len(self._partial)
            self._partial += piece[:begin]
            if len(self._partial) < BLOCK:
                return
            self._take(memoryview(self._partial), zero=self._partial == _ZERO_BLOCK)
        view = memoryview(piece)
        whole = begin + max(0, len(piece) - begin) // BLOCK * BLOCK
        while begin < whole:
            zero = piece.startswith(_ZERO_BLOCK, begin)
            end = begin + BLOCK
            while end < whole and piece.startswith(_ZERO_BLOCK, end) is zero:
                end += BLOCK
            self._take(view[begin:end], zero=zero)
            begin = end
        self._partial = piece[whole:]

    def hole(self, length: int) -> None:
        """Go on with so many zeros."""
        if self._partial:
            filling = min(length, BLOCK - len(self._partial))
            self.data(bytes(filling))
            length -= filling
        if blocks := length // BLOCK * BLOCK:
            self._skip()
            self._offset += blocks
            if self._plain is not None:
                for start in range(0, blocks, len(_ZEROS)):
                    self._plain.update(_ZEROS[: blocks - start])
        self._partial += bytes(length - blocks)

    def finish(self) -> None:
        """The file ends here."""
        if self._partial:
            self._take(memoryview(self._partial), zero=not any(self._partial))
            self._partial = b""
        self._end_run()
        self._runs.update(self._data.hexdigest().encode())

    @property
    def sha256(self) -> str | None:
        """Hexadecimal digest of all bytes; None if it was not asked for."""
        return self._plain.hexdigest() if self._plain is not None else None

    @property
    def blocks_sha256(self) -> str:
        """Hexadecimal digest of the runs of blocks that are not all zeros."""
        return self._runs.hexdigest()

    def _take(self, blocks: memoryview, *, zero: bool) -> None:
        if zero:
            self._skip()
        else:
            if self._run is None:
                self._run = self._offset
            self._data.update(blocks)
        if self._plain is not None and self._plain is not self._data:
            self._plain.update(blocks)
        self._offset += len(blocks)

    def _skip(self) -> None:
        """Zeros follow: from here on the two digests are of different bytes."""
        self._end_run()
        if self._plain is self._data:
            self._plain = self._data.copy()

    def _end_run(self) -> None:
        if self._run is not None:
            self._runs.update(b"%d %d\n" % (self._run, self._offset - self._run))
            self._run = None
