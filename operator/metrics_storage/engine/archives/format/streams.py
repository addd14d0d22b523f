"""Bytes between memory and files: hashed, compressed and in large pieces.

Every write is direct: nothing stays in a buffer that a later garbage collection could write into a descriptor
that by then belongs to something else. Knows neither tar nor manifests.
"""

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from metrics_storage.errors import ArchiveCorruptError

CHUNK: Final = 256 * 1024
"""Bytes handled at once: large enough that hashing and compressing, which release the GIL, dominate."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6


def rewind(fd: int) -> None:
    """Have a file read from its beginning, and from the disk; what comes through a socket is read as it comes."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.lseek(fd, 0, os.SEEK_SET)
        # What is verified must be what reached the disk, not what is still in memory.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


class HashedOutput:
    """A descriptor to write to, with size and SHA-256 of what was written; the caller keeps owning it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of everything written so far."""
        return self._sha256.hexdigest()

    def write(self, data: bytes) -> None:
        """Write everything or raise OSError."""
        self._sha256.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]


class BlockWriter:
    """Collects small writes and hands them on in pieces of `CHUNK`; abandoned, it writes nothing."""

    def __init__(self, output: HashedOutput) -> None:
        self._output = output
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Take bytes; an OSError may come from earlier ones."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hand on what was collected."""
        parts, self._parts, self._size = self._parts, [], 0
        self._hand_on(parts)

    def _hand_on(self, parts: list[bytes]) -> None:
        self._output.write(b"".join(parts))


class GzipWriter(BlockWriter):
    """The same through one gzip member (level 6, no time stamp), compressed and written in a second thread.

    Use as a context manager, which ends the thread; only `finish` makes a complete file.
    """

    def __init__(self, output: HashedOutput) -> None:
        super().__init__(output)
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gzip")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def finish(self) -> None:
        """Write the end of the gzip file."""
        self.flush()
        self._wait()
        self._output.write(self._zlib.flush())

    def _hand_on(self, parts: list[bytes]) -> None:
        # One piece at a time: memory stays flat when the disk or zlib is slower than the source.
        self._wait()
        self._pending = self._thread.submit(self._compress, parts)

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _compress(self, parts: list[bytes]) -> None:
        self._output.write(self._zlib.compress(b"".join(parts)))


class GzipReader:
    """Reads a file that must be exactly one gzip member, with size and SHA-256 of the compressed bytes.

    Raises:
        ArchiveCorruptError: from every method, where the file isn't that (zlib checks CRC and length).
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._zlib = zlib.decompressobj(_GZIP)
        self._sha256 = hashlib.sha256()
        self._ready = memoryview(b"")
        self.compressed_size = 0
        self.position = 0
        """Offset of the next byte in what was decompressed."""
        rewind(fd)

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the compressed bytes read so far."""
        return self._sha256.hexdigest()

    def pieces(self, size: int) -> Iterator[bytes]:
        """Exactly this many bytes, in pieces of any size up to `CHUNK`."""
        while size > 0:
            if not self._ready:
                self._ready = memoryview(self._decompress())
                if not self._ready:
                    raise ArchiveCorruptError(f"archive ends after {self.position} bytes of tar")
            piece = self._ready[:size]
            self._ready = self._ready[len(piece) :]
            size -= len(piece)
            self.position += len(piece)
            yield bytes(piece)

    def read(self, size: int) -> bytes:
        """Exactly this many bytes at once."""
        return b"".join(self.pieces(size))

    def finish(self) -> None:
        """Require that nothing follows, neither in the tar nor after the gzip member."""
        if self._ready or self._decompress():
            raise ArchiveCorruptError(f"archive continues after its end, {self.position} bytes of tar")
        if self._zlib.unused_data or os.read(self._fd, 1):
            raise ArchiveCorruptError(f"archive has bytes after its gzip member of {self.compressed_size} bytes")

    def _decompress(self) -> bytes:
        """Some bytes, or none at the end of the gzip member."""
        while not self._zlib.eof:
            raw = self._zlib.unconsumed_tail
            if not raw:
                raw = os.read(self._fd, CHUNK)
                self._sha256.update(raw)
                self.compressed_size += len(raw)
            try:
                data = self._zlib.decompress(raw, CHUNK)
            except zlib.error as exc:
                raise ArchiveCorruptError(f"archive is not gzip near byte {self.compressed_size}: {exc}") from exc
            if data:
                return data
            if not raw:
                raise ArchiveCorruptError(f"archive is cut off after {self.compressed_size} bytes")
        return b""
