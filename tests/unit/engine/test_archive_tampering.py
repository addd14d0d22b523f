"""Archives and manifests that were damaged or forged are refused."""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest

from metrics_storage.errors import ArchiveCorruptError
from tests.unit.engine.archiving import Archiving


@pytest.fixture
def archiving(tmp_path: Path) -> Archiving:
    archiving = Archiving(tmp_path)
    (archiving.source / "a").write_bytes(b"content of a")
    (archiving.source / "b").write_bytes(b"content of b")
    (archiving.source / "link").symlink_to("a")
    with (archiving.source / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"data")
    assert archiving.write().clean
    archiving.verify()
    return archiving


def forge(archiving: Archiving, tar: bytes) -> None:
    """Put another tar into the archive, with a trailer that agrees with the new file."""
    archiving.archive.write_bytes(gzip.compress(tar, mtime=1))
    reseal(archiving, archiving.manifest.read_bytes().splitlines(keepends=True)[:-1])


def reseal(archiving: Archiving, lines: list[bytes]) -> None:
    """Write these lines with a trailer that agrees with them and with the archive."""
    archive = archiving.archive.read_bytes()
    trailer = json.loads(archiving.manifest.read_bytes().splitlines()[-1])
    trailer["archive_bytes"] = len(archive)
    trailer["archive_sha256"] = hashlib.sha256(archive).hexdigest()
    trailer["lines_sha256"] = hashlib.sha256(b"".join(lines)).hexdigest()
    trailer["entries"] = len(lines) - 1
    sealed = json.dumps(trailer, separators=(",", ":")).encode() + b"\n"
    archiving.manifest.write_bytes(b"".join(lines) + sealed)


def members(archiving: Archiving) -> list[bytes]:
    """The tar cut at the borders of its members; what ends the archive comes last."""
    tar = gzip.decompress(archiving.archive.read_bytes())
    with tarfile.open(fileobj=BytesIO(tar)) as opened:
        starts = [member.offset for member in opened]
    end = len(tar.rstrip(b"\0")) // 512 * 512 + 512
    return [tar[start:stop] for start, stop in pairwise([*starts, end, len(tar)])]


@pytest.mark.parametrize("which", ["archive", "manifest"])
def test_any_flipped_byte_is_found(archiving: Archiving, which: str) -> None:
    path: Path = getattr(archiving, which)
    good = path.read_bytes()
    for position in range(0, len(good), 1 if len(good) < 1500 else 3):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(ArchiveCorruptError):
            archiving.verify()


@pytest.mark.parametrize("which", ["archive", "manifest"])
def test_any_truncation_is_found(archiving: Archiving, which: str) -> None:
    path: Path = getattr(archiving, which)
    good = path.read_bytes()
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        with pytest.raises(ArchiveCorruptError):
            archiving.verify()


@pytest.mark.parametrize("addition", [b"\0", b"\n", gzip.compress(b""), gzip.compress(bytes(10240))])
@pytest.mark.parametrize("which", ["archive", "manifest"])
def test_anything_appended_is_found(archiving: Archiving, which: str, addition: bytes) -> None:
    path: Path = getattr(archiving, which)
    path.write_bytes(path.read_bytes() + addition)
    if which == "archive":
        reseal(archiving, archiving.manifest.read_bytes().splitlines(keepends=True)[:-1])
    with pytest.raises(ArchiveCorruptError):
        archiving.verify()


def test_the_same_tar_in_another_file_is_refused_where_the_digest_is_known(archiving: Archiving) -> None:
    digest = archiving.verify().archive_sha256
    forge(archiving, b"".join(members(archiving)))
    assert archiving.verify().archive_sha256 != digest
    with pytest.raises(ArchiveCorruptError, match=f"expected {digest}"):
        archiving.verify(digest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda m: [m[0], m[2], m[1], *m[3:]], "path is", id="reordered"),
        pytest.param(lambda m: [m[0], *m[2:]], "path is", id="member missing"),
        pytest.param(lambda m: [*m[:-2], m[-1]], "the archive ends here", id="last member missing"),
        pytest.param(lambda m: [*m[:-1], m[1], m[-1]], "more than its manifest", id="member added"),
        pytest.param(lambda m: [*m[:-1], m[-1] + bytes(10240)], "continues after its end", id="zeros added"),
        pytest.param(lambda m: [*m[:-1], m[-1][:-512]], "archive ends", id="not filled up"),
        pytest.param(lambda m: [x.replace(b"content of b", b"CONTENT of b") for x in m], "SHA-256", id="content"),
        pytest.param(lambda m: [x.replace(b"content of b\0", b"content of b!") for x in m], "filled", id="slack"),
        pytest.param(lambda m: [x.replace(b"1\n1048576\n", b"1\n1048577\n") for x in m], "sparse map", id="map"),
        pytest.param(lambda m: [x.replace(b"mtime=", b"atime=") for x in m], "never written", id="record"),
        pytest.param(lambda m: [x.replace(b" mtime=", b"\0mtime=") for x in m], "PAX record", id="length"),
        pytest.param(lambda m: [x.replace(b"ustar\x0000", b"ustar  \0") for x in m], "header", id="magic"),
        pytest.param(lambda _: [b"\x80" * 512], "header", id="garbage"),
        pytest.param(lambda _: [], "archive ends", id="empty"),
    ],
)
def test_a_forged_tar_with_a_matching_trailer_is_found(
    archiving: Archiving, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    forge(archiving, b"".join(change(members(archiving))))
    with pytest.raises(ArchiveCorruptError, match=message):
        archiving.verify()


def test_a_claimed_size_allocates_nothing(archiving: Archiving) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 8**11 - 1
    forge(archiving, info.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(ArchiveCorruptError, match="PAX header of 8589934591 bytes"):
        archiving.verify()
