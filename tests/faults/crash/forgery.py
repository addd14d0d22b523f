"""Forged archives: each differs from a true one in one respect, and is made to look right in all others.

The forger has everything but the digests in the journal: it can compress anew and write any trailer.
"""

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.faults.evidence.reading import manifest_of

_BLOCK: Final = 512
_RECORD: Final = 20 * _BLOCK


class Forger:
    """A true archive and its manifest, to be changed and put back."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._true = archive.read_bytes(), manifest_of(archive).read_bytes()

    def restore(self) -> None:
        """Make it true again."""
        self._archive.write_bytes(self._true[0])
        manifest_of(self._archive).write_bytes(self._true[1])

    @property
    def tar(self) -> bytearray:
        """The tar inside."""
        return bytearray(zlib.decompress(self._true[0], 31))

    def put_tar(self, tar: bytes | bytearray) -> None:
        """Another tar, with a trailer that fits."""
        squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.put(squeeze.compress(tar) + squeeze.flush())

    def put(self, data: bytes, **claims: Any) -> None:
        """Another archive file, with a trailer that fits but for what it claims."""
        self._archive.write_bytes(data)
        lines = self._true[1].splitlines(keepends=True)
        trailer = json.loads(lines[-1])
        true = {"archive_bytes": len(data), "archive_sha256": hashlib.sha256(data).hexdigest()}
        forged = json.dumps(trailer | true | claims, separators=(",", ":")).encode() + b"\n"
        manifest_of(self._archive).write_bytes(b"".join(lines[:-1]) + forged)

    @property
    def data(self) -> bytes:
        """The true archive file."""
        return self._true[0]


def _content(forger: Forger) -> None:
    tar = forger.tar
    at = tar.index(b'{"state": "failed"')
    tar[at + 2] ^= 1
    forger.put_tar(tar)


def _field(forger: Forger) -> None:
    """A mode, with a checksum that fits."""
    tar = forger.tar
    at = tar.index(b'{"state": "failed"') - _BLOCK
    tar[at + 106] ^= 1
    tar[at + 148 : at + 156] = b" " * 8
    tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + _BLOCK])
    forger.put_tar(tar)


def _one_member_more(forger: Forger) -> None:
    """The first one again: a PAX header, its records, the header itself."""
    tar = forger.tar
    end = len(tar.rstrip(b"\0")) + -len(tar.rstrip(b"\0")) % _BLOCK
    head = tar.index(b"ustar\x0000") - 257
    longer = bytes(tar[:end]) + bytes(tar[head : head + 3 * _BLOCK])
    forger.put_tar(longer + bytes(-len(longer) % _RECORD))


def _bytes_after_the_end(forger: Forger) -> None:
    forger.put_tar(bytes(forger.tar) + bytes(_RECORD))


def _digest(forger: Forger) -> None:
    forger.put(forger.data, archive_sha256="0" * 64)


def _size(forger: Forger) -> None:
    forger.put(forger.data, archive_bytes=len(forger.data) + 1)


def _counts(forger: Forger) -> None:
    forger.put(forger.data, entries=1)


FORGERIES: Final[dict[str, Callable[[Forger], None]]] = {
    "content of a member": _content,
    "field of a member": _field,
    "one member more": _one_member_more,
    "bytes after the end": _bytes_after_the_end,
    "digest in the trailer": _digest,
    "size in the trailer": _size,
    "counts in the trailer": _counts,
}
