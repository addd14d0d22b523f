"""Manifests: what is written is read back, and nothing else is accepted."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest import Header, ManifestWriter, Trailer
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.archives.format.paths import FOLD_BYTES, MemberPaths
from metrics_storage.engine.archives.format.streams import HashedOutput
from metrics_storage.errors import ArchiveCorruptError
from tests.unit.engine.archiving import HEADER

ENTRIES = (
    Entry(b"runner-0", 0, "directory", stored=True, mode=0o770, nlink=3, inode=7),
    Entry(b"runner-0/a", 1, "directory", stored=True, mode=0o1777, xattrs={b"user.a": b"\0\xff"}, number=1),
    Entry(
        b"runner-0/a/f\n",
        2,
        "file",
        stored=True,
        size=3,
        payload=3,
        nlink=2,
        mtime_ns=-1,
        number=2,
        sha256="0" * 64,
        blocks_sha256="2" * 64,
    ),
    Entry(b"runner-0/a/g", 2, "file", stored=True, size=3, link=b"runner-0/a/f\n", link_number=2, number=3),
    Entry(b"runner-0/b", 1, status="vanished", error="ENOENT", number=4),
    Entry(b"runner-0/c", 1, "character", device=(1, 3), number=5),
    Entry(b"runner-0/d", 1, "symlink", stored=True, target=b"/etc/shadow", size=11, number=6),
    Entry(
        b"runner-0/e", 1, "file", stored=True, size=1 << 40, payload=512, sparse=True, blocks_sha256="1" * 64, number=7
    ),
)


def write(path: Path, entries: tuple[Entry, ...] = ENTRIES, header: Header = HEADER) -> Trailer:
    with path.open("wb", buffering=0) as file:
        writer = ManifestWriter(HashedOutput(file.fileno()), header)
        for entry in entries:
            writer.add(entry)
        return writer.finish(1000, "a" * 64)


def read(path: Path) -> tuple[Header, list[Entry], Trailer, str]:
    with path.open("rb", buffering=0) as file:
        reader = ManifestReader(file.fileno())
        return reader.header, list(reader), reader.trailer, reader.sha256


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    trailer = write(path)
    assert read(path) == (HEADER, list(ENTRIES), trailer, hashlib.sha256(path.read_bytes()).hexdigest())
    assert trailer.types == {"character": 1, "directory": 2, "file": 3, "symlink": 1, "unknown": 1}
    assert (trailer.entries, trailer.payload_bytes, trailer.clean) == (8, 515, False)


def test_a_reason_may_be_any_text(tmp_path: Path) -> None:
    values = {field.name: getattr(HEADER, field.name) for field in fields(HEADER)}
    header = Header(**(values | {"reason": 'a "b"\n\x00\x1b\u2028 ä \U0001f600'}))
    write(tmp_path / "manifest", header=header)
    assert read(tmp_path / "manifest")[0] == header


def test_lines_are_plain_ascii_json(tmp_path: Path) -> None:
    write(tmp_path / "manifest")
    lines = (tmp_path / "manifest").read_text("ascii").splitlines()
    assert [json.loads(line)["record"] for line in lines] == ["header", *["entry"] * 8, "trailer"]
    assert json.loads(lines[3])["shown"] == "runner-0/a/f\\n"


Change = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m.pop(0), id="no header"),
        pytest.param(lambda m: m.insert(1, m[0]), id="two headers"),
        pytest.param(lambda m: m.pop(), id="no trailer"),
        pytest.param(lambda m: m.append(m[-1]), id="two trailers"),
        pytest.param(lambda m: m[0].update(version=3), id="another version"),
        pytest.param(lambda m: m[0].update(version=1), id="an older version"),
        pytest.param(lambda m: m[0].update(more=1), id="a field more"),
        pytest.param(lambda m: m[0].pop("node"), id="a field less"),
        pytest.param(lambda m: m[0].update(attempt="1"), id="another type"),
        pytest.param(lambda m: m[0].update(software={"a": 1}), id="another type inside"),
        pytest.param(lambda m: m[0].update(name="../etc"), id="a path for a name"),
        pytest.param(lambda m: m.pop(1), id="no root"),
        pytest.param(lambda m: m.insert(2, m[1]), id="two roots"),
        pytest.param(lambda m: m.insert(3, m[3]), id="an entry twice"),
        pytest.param(lambda m: m.insert(5, m.pop(6)), id="out of order"),
        pytest.param(lambda m: m.pop(2), id="children without their directory"),
        pytest.param(lambda m: m[3].update(depth=3), id="another depth"),
        pytest.param(lambda m: m[3].update(path="cnVubmVyLTAvYS8uLg=="), id="dots in a path"),
        pytest.param(lambda m: m[3].update(path="cnVubmVyLTAvYS9m"), id="shown otherwise"),
        pytest.param(lambda m: m[3].update(path="?"), id="not base64"),
        pytest.param(lambda m: m[3].update(uid=-1), id="negative"),
        pytest.param(lambda m: m[3].update(uid=1.0), id="not an integer"),
        pytest.param(lambda m: m[3].update(stored=False), id="ok but not stored"),
        pytest.param(lambda m: m[3].update(type="sock"), id="unknown type"),
        pytest.param(lambda m: m[3].update(type=["file"]), id="a list for a type"),
        pytest.param(lambda m: m[3].update(payload=4), id="payload and size differ"),
        pytest.param(lambda m: m[3].pop("sha256"), id="no plain digest"),
        pytest.param(lambda m: m[3].pop("blocks_sha256"), id="no digest of blocks"),
        pytest.param(lambda m: m[3].update(nlink=1), id="a link to a file with one"),
        pytest.param(lambda m: m[4].update(link=1), id="a link to a directory"),
        pytest.param(lambda m: m[4].update(link=3), id="a link to itself"),
        pytest.param(lambda m: m[4].update(link="cnVubmVyLTAvYS9mCg=="), id="a link to a path"),
        pytest.param(lambda m: m[8].update(sha256="1" * 64), id="a plain digest of a terabyte"),
        pytest.param(lambda m: m[5].update(error={}), id="an object for an error"),
        pytest.param(lambda m: m[5].update(xattrs_error={}), id="an object for an error of attributes"),
        pytest.param(lambda m: m[3].update(xattrs_error="EIO"), id="ok without its attributes"),
        pytest.param(lambda m: m[6].update(device=[1]), id="half a device"),
        pytest.param(lambda m: m[-1].update(clean=True), id="clean by decree"),
        pytest.param(lambda m: m[-1].update(entries=9), id="another count"),
        pytest.param(lambda m: m[-1].update(payload_bytes=1), id="other bytes"),
        pytest.param(lambda m: m[-1].update(changed_directories=-1), id="negative count"),
    ],
)
def test_what_the_writer_never_writes_is_refused(tmp_path: Path, change: Change) -> None:
    path = tmp_path / "manifest"
    write(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    # The digest is made to agree, so that the change itself is what is found.
    digest = hashlib.sha256("".join(texts[:-1]).encode()).hexdigest()
    texts[-1] = texts[-1].replace(lines[-1].get("lines_sha256", "-"), digest)
    path.write_text("".join(texts))
    with pytest.raises(ArchiveCorruptError, match=r"manifest line \d+: "):
        read(path)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="empty line"),
        pytest.param(b"\xff\n", id="not text"),
        pytest.param(b"[]\n", id="not an object"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"9" * 5000 + b"\n", id="a huge number"),
        pytest.param(b"x" * 5_000_000, id="a huge line"),
    ],
)
def test_what_is_no_manifest_at_all_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest").write_bytes(raw)
    with pytest.raises(ArchiveCorruptError, match="manifest line 1"):
        read(tmp_path / "manifest")


def test_another_spelling_of_the_same_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    write(path)
    path.write_bytes(path.read_bytes().replace(b'"depth":0', b'"depth": 0'))
    with pytest.raises(ArchiveCorruptError, match="line 2: an entry in another form"):
        read(path)


@given(st.lists(st.tuples(st.binary(min_size=200, max_size=255), st.booleans()), max_size=80))
def test_folded_paths_stay_short_and_unique(steps: list[tuple[bytes, bool]]) -> None:
    paths = MemberPaths(b"top")
    seen = set()
    for number, (name, deeper) in enumerate(steps):
        prefix = paths.prefix
        assert len(prefix) <= FOLD_BYTES + 8
        seen.add(prefix + b"%d" % number + name)
        if deeper:
            paths.enter(b"%d" % number + name)
        elif paths.names:
            above = len(paths.names) - 1
            paths.leave_to(above)
            assert prefix.startswith((paths.prefix, b"top~"))
    assert len(seen) == len(steps)
    paths.leave_to(0)
    assert paths.prefix == b"top/"


def test_an_abandoned_writer_writes_nothing_later(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "manifest", os.O_WRONLY | os.O_CREAT)
    writer = ManifestWriter(HashedOutput(fd), HEADER)
    writer.add(ENTRIES[0])
    del writer
    os.close(fd)
    assert (tmp_path / "manifest").read_bytes() == b""
