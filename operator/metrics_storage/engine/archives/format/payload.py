"""The content of a file as an archive has it, checked against its manifest while it is read.

What verifying and restoring share. Archive and manifest are both distrusted.
"""

from array import array
from collections.abc import Iterator
from hashlib import sha256

from metrics_storage.engine.archives.format.content import Content
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.sparse import read_map
from metrics_storage.engine.archives.format.streams import GzipReader
from metrics_storage.engine.archives.format.tarformat import BLOCK


def read_payload(archive: GzipReader, entry: Entry) -> Iterator[tuple[int, bytes]]:
    """Pieces of the content with their first byte in the file; what is between them are zeros.

    All of them must be taken: what is wrong with the content as a whole is known at its end.

    Raises:
        ValueError: the content is not what the manifest says.
        ArchiveCorruptError: the archive is cut off.
    """
    sparse_map, extents = b"", array("q", (0, entry.size))
    if entry.sparse:
        sparse_map, extents = read_map(archive.read, entry.payload, entry.size)
    content: Content | _Stored = _Stored(sparse_map)
    if entry.blocks_sha256 is not None:
        content = Content(plain=entry.sha256 is not None)
    position = 0
    for start, length in zip(extents[::2], extents[1::2], strict=True):
        content.hole(start - position)
        position = start
        for piece in archive.pieces(length):
            content.data(piece)
            yield position, piece
            position += len(piece)
    content.hole(entry.size - position)
    content.finish()
    found, expected = (content.sha256, content.blocks_sha256), (entry.sha256, entry.blocks_sha256)
    if found != expected:
        raise ValueError(f"content has the SHA-256 {_shown(*found)}, the manifest says {_shown(*expected)}")
    if any(archive.read(-entry.payload % BLOCK)):
        raise ValueError("content is not filled up with zeros")


class _Stored:
    """The digest in manifests of version 1: of map and data as they are stored."""

    blocks_sha256 = None

    def __init__(self, sparse_map: bytes) -> None:
        self._digest = sha256(sparse_map)

    def data(self, piece: bytes) -> None:
        self._digest.update(piece)

    def hole(self, length: int) -> None:
        """Holes are in the map."""

    def finish(self) -> None:
        """Nothing is left to do."""

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _shown(plain: str | None, blocks: str | None) -> str:
    return plain or f"{blocks} (of its blocks)"
