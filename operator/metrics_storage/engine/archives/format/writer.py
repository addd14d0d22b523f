"""Writing an archive: one pass over a directory into a `.tar.gz` and its manifest.

The archive opens with plain `tar xzf` into one directory named like the runner. What cannot be read becomes an
entry of the manifest that says so, never a malformed archive and never an error; what cannot be written is an
error, and the caller discards both files. Naming, committing and verifying are done elsewhere.
"""

from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest import Header, ManifestWriter, line_of
from metrics_storage.engine.archives.format.scan import scan
from metrics_storage.engine.archives.format.streams import GzipWriter, HashedOutput
from metrics_storage.engine.archives.format.tarformat import BLOCK, RECORD, Member, encode
from metrics_storage.engine.fs.walk import Meter, Progress


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What was written; sizes in bytes, digests as hexadecimal SHA-256.

    `files` counts the entries that are not directories. `clean` is false where anything changed, vanished or
    could not be read; `problems` names the first few of these, escaped. `losses` is the digest of what could not be
    read, None where that is nothing, or not all that keeps it from being clean.
    """

    entries: int
    files: int
    payload_bytes: int
    archive_bytes: int
    archive_sha256: str
    manifest_sha256: str
    clean: bool
    problems: tuple[str, ...]
    losses: str | None


def write_archive(
    source_fd: int, archive_fd: int, manifest_fd: int, header: Header, *, progress: Progress | None = None
) -> ArchiveSummary:
    """Archive the open directory into two new, empty, open files, or into pipes; nothing of the source is changed.

    Nothing is flushed here.

    Raises:
        OSError: writing failed (ENOSPC and the like), or the directory itself cannot be listed; both files are
            then worthless.
    """
    output = HashedOutput(archive_fd)
    manifest_output = HashedOutput(manifest_fd)
    manifest = ManifestWriter(manifest_output, header)
    meter = Meter(progress)
    with GzipWriter(output) as gzip:
        tar = _TarWriter(gzip, manifest, meter, _unpredictable(header))
        with closing(scan(source_fd, header.top, tar)) as entries:
            for _, entry in entries:
                manifest.add(entry)
                meter.add(entries=1)
        tar.finish()
    trailer = manifest.finish(output.size, output.sha256)
    return ArchiveSummary(
        entries=trailer.entries,
        files=trailer.entries - trailer.types.get("directory", 0),
        payload_bytes=trailer.payload_bytes,
        archive_bytes=output.size,
        archive_sha256=output.sha256,
        manifest_sha256=manifest_output.sha256,
        clean=trailer.clean,
        problems=tuple(manifest.problems),
        losses=manifest.losses.sha256 if manifest.losses.complete and not header.provisional else None,
    )


def _unpredictable(header: Header) -> int:
    """A number that is another one in every archive, and that nobody knew who filled the directory."""
    return int.from_bytes(sha256(line_of(asdict(header))).digest()[:4])


class _TarWriter:
    """Lays out members in blocks, as they come."""

    def __init__(self, gzip: GzipWriter, manifest: ManifestWriter, meter: Meter, number: int) -> None:
        self._gzip = gzip
        self._manifest = manifest
        self._meter = meter
        self._number = number
        self._size = 0

    def begin(self, entry: Entry) -> None:
        self._fill(BLOCK)
        self._write(encode(Member.of(entry), self._number))

    def write(self, data: bytes) -> None:
        self._write(data)
        self._meter.add(bytes_=len(data))

    def directory_changed(self, path: bytes) -> None:
        self._manifest.add_changed_directory(path)

    def finish(self) -> None:
        """End the archive: two empty blocks, filled up to a whole record."""
        self._fill(BLOCK)
        self._write(bytes(2 * BLOCK))
        self._fill(RECORD)
        self._gzip.finish()

    def _fill(self, unit: int) -> None:
        self._write(bytes(-self._size % unit))

    def _write(self, data: bytes) -> None:
        if data:
            self._size += len(data)
            self._gzip.write(data)
