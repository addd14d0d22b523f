"""Verifying an archive by reading it back against its manifest, byte for byte, without extracting anything.

Archive and manifest are both distrusted: whatever deviates from what the writer would have written is refused,
and nothing is allocated because a header claims a size. Whether the source still equals the manifest is
decided in `compare`.
"""

from dataclasses import dataclass, fields

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.format.payload import read_payload
from metrics_storage.engine.archives.format.streams import GzipReader
from metrics_storage.engine.archives.format.tarformat import RECORD, Member, decode
from metrics_storage.engine.fs.walk import Meter, Progress, printable
from metrics_storage.errors import ArchiveCorruptError


@dataclass(frozen=True, slots=True)
class VerifiedArchive:
    """What was found to be true of an archive; sizes in bytes, digests as hexadecimal SHA-256.

    `files` counts the entries that are not directories; `clean` is the writer's word that nothing of the
    source was changing or unreadable.
    """

    header: Header
    entries: int
    files: int
    payload_bytes: int
    archive_bytes: int
    archive_sha256: str
    manifest_sha256: str
    clean: bool


def verify_archive(
    archive_fd: int, manifest_fd: int, *, sha256: str | None = None, progress: Progress | None = None
) -> VerifiedArchive:
    """Read an archive and its manifest from two descriptors opened for this, dropping the page cache first.

    Args:
        sha256: digest of the archive from elsewhere, say the journal; None if the manifest's must do.

    Raises:
        ArchiveCorruptError: anything is not as the writer left it; the message says where.
        OSError: reading failed.
    """
    manifest = ManifestReader(manifest_fd)
    archive = GzipReader(archive_fd)
    meter = Meter(progress)
    for entry in manifest:
        if entry.stored:
            try:
                _verify_member(archive, entry, meter)
            except ValueError as exc:
                raise manifest.corrupt(
                    f"archive byte {archive.position} (of the tar), {printable(entry.path)}: {exc}"
                ) from exc
        meter.add(entries=1)
    try:
        following = decode(archive.read)
    except ValueError as exc:
        raise ArchiveCorruptError(f"archive byte {archive.position} (of the tar): {exc}") from exc
    if following is not None:
        raise ArchiveCorruptError(f"archive has a member {printable(following.path)} more than its manifest")
    if any(archive.read(-archive.position % RECORD)):
        raise ArchiveCorruptError("archive is not filled up with zeros at its end")
    archive.finish()
    trailer = manifest.trailer
    for digest in (trailer.archive_sha256, sha256):
        if digest is not None and digest != archive.sha256:
            raise ArchiveCorruptError(f"archive has the SHA-256 {archive.sha256}, expected {digest}")
    if trailer.archive_bytes != archive.compressed_size:
        raise ArchiveCorruptError(f"archive has {archive.compressed_size} bytes, not {trailer.archive_bytes}")
    return VerifiedArchive(
        header=manifest.header,
        entries=trailer.entries,
        files=trailer.entries - trailer.types.get("directory", 0),
        payload_bytes=trailer.payload_bytes,
        archive_bytes=archive.compressed_size,
        archive_sha256=archive.sha256,
        manifest_sha256=manifest.sha256,
        clean=trailer.clean,
    )


def _verify_member(archive: GzipReader, entry: Entry, meter: Meter) -> None:
    member = decode(archive.read)
    expected = Member.of(entry)
    if member is None:
        raise ValueError("the archive ends here")
    for field in fields(Member):
        found, wanted = getattr(member, field.name), getattr(expected, field.name)
        if found != wanted:
            raise ValueError(f"{field.name} is {found!r:.200}, the manifest says {wanted!r:.200}")
    if entry.type == "file" and entry.link is None:
        for _, piece in read_payload(archive, entry):
            meter.add(bytes_=len(piece))
