"""Archives of the first version of the format, as that version wrote them: they can be read for good."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from metrics_storage.engine.archives.restore.policy import RestoreOptions
from metrics_storage.engine.archives.restore.restore import restore_archive
from metrics_storage.errors import ArchiveCorruptError
from tests.unit.engine.archiving import Archiving, close

_WRITTEN = Path(__file__).with_name("format_1")
"""One of everything: content with an attribute and a second name, a FIFO, a link, a file with a hole, an odd name."""


@pytest.fixture
def archiving(tmp_path: Path) -> Archiving:
    archiving = Archiving(tmp_path)
    shutil.copy(_WRITTEN / "runner-0.tar.gz", archiving.archive)
    shutil.copy(_WRITTEN / "runner-0.manifest.jsonl", archiving.manifest)
    return archiving


def test_it_is_verified(archiving: Archiving) -> None:
    digest = "138865d19ae982955cda5db8076a7cead455e91b9284951b6ac9592229e559c3"
    assert archiving.verify(digest).entries == 9
    hard = archiving.entries()[b"sub/hard"]
    assert (hard.link, hard.xattrs) == (b"runner-0/content", {b"user.origin": b"runner"})
    assert archiving.entries()[b"sparse"].blocks_sha256 is None


def test_it_is_restored(archiving: Archiving, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    target.mkdir()
    fds = [os.open(path, os.O_RDONLY) for path in (archiving.archive, archiving.manifest, target)]
    try:
        restored = restore_archive(fds[0], fds[1], fds[2], archiving.verify(), RestoreOptions())
    finally:
        close(fds)
    assert (restored.entries, restored.refused.count) == (9, 0)
    top = target / "runner-0"
    assert (top / "content").samefile(top / "sub" / "hard")
    assert (top / "sparse").stat().st_size == 4 << 20
    # What the version that wrote it says of the content that it stored as it is.
    lines = [json.loads(line) for line in archiving.manifest.read_text().splitlines()]
    (line,) = (line for line in lines if line.get("shown") == "runner-0/content")
    assert sha256((top / "content").read_bytes()).hexdigest() == line["sha256"]


def test_a_changed_digest_is_found(archiving: Archiving) -> None:
    text = archiving.manifest.read_text()
    lines = text.splitlines(keepends=True)
    (number,) = (number for number, line in enumerate(lines) if '"shown":"runner-0/sparse"' in line)
    fields = json.loads(lines[number])
    lines[number] = lines[number].replace(fields["sha256"], "0" * 64)
    trailer = json.loads(lines[-1])
    before = sha256("".join(lines[:-1]).encode()).hexdigest()
    lines[-1] = lines[-1].replace(trailer["lines_sha256"], before)
    archiving.manifest.write_text("".join(lines))
    with pytest.raises(ArchiveCorruptError, match="runner-0/sparse: content has the SHA-256"):
        archiving.verify()


def test_a_source_is_never_taken_for_it(archiving: Archiving) -> None:
    (difference,) = archiving.compare()
    assert difference == "the manifest is of version 1, which tells too little to compare"
