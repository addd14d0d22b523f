"""What an archive of a hostile directory holds, and that GNU tar restores it."""

import gzip
import os
import re
import socket
import stat
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from metrics_storage.engine.archives.format import Header
from metrics_storage.errors import ArchiveError
from tests.unit.engine.archiving import HEADER, Archiving, assert_sound, deep_directories

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


def test_links_are_kept_as_links_and_never_followed(archiving: Archiving) -> None:
    for name, target in {"shadow": "/etc/shadow", "dangling": "nowhere", "parent": ".."}.items():
        (archiving.source / name).symlink_to(target)
    assert_sound(archiving)
    entries = archiving.entries()
    assert {name: entries[name].target for name in (b"shadow", b"dangling", b"parent")} == {
        b"shadow": b"/etc/shadow",
        b"dangling": b"nowhere",
        b"parent": b"..",
    }


def test_fifos_and_sockets_are_recorded_and_never_opened(archiving: Archiving) -> None:
    os.mkfifo(archiving.source / "fifo")
    (archiving.source / "file").write_text("text")
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory(dir="/tmp") as short:
        server.bind(f"{short}/s")
        os.rename(f"{short}/s", archiving.source / "socket")
        started = time.monotonic()
        assert_sound(archiving)
    assert time.monotonic() - started < 5
    entries = archiving.entries()
    assert (entries[b"socket"].type, entries[b"socket"].stored) == ("socket", False)
    assert sorted(os.listdir(archiving.extract())) == ["fifo", "file"]


@needs_root
def test_device_nodes_stand_in_the_manifest_only(archiving: Archiving) -> None:
    os.mknod(archiving.source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(archiving.source / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 17))
    assert_sound(archiving)
    entries = archiving.entries()
    assert (entries[b"null"].type, entries[b"null"].device) == ("character", (1, 3))
    assert (entries[b"disk"].type, entries[b"disk"].device) == ("block", (8, 17))
    assert os.listdir(archiving.extract()) == []


def test_a_tebibyte_of_nothing_costs_nothing_and_comes_back(archiving: Archiving) -> None:
    with (archiving.source / "sparse").open("wb") as file:
        file.seek(1 << 39)
        file.write(b"middle")
        file.truncate(1 << 40)
    with (archiving.source / "empty").open("wb") as file:
        file.truncate(1 << 40)
    started = time.monotonic()
    assert_sound(archiving)
    extracted = archiving.extract()
    assert time.monotonic() - started < 2
    assert archiving.archive.stat().st_size < 20_000
    assert (extracted / "empty").stat().st_size == 1 << 40
    with (extracted / "sparse").open("rb") as file:
        file.seek(1 << 39)
        assert file.read(8) == b"middle\0\0"
    assert (extracted / "sparse").stat().st_size == 1 << 40
    assert (extracted / "sparse").stat().st_blocks * 512 < 100_000


def test_ten_thousand_levels_are_archived_in_folds(archiving: Archiving) -> None:
    with deep_directories(archiving.source, 10_000):
        assert_sound(archiving)
        paths = [*archiving.entries()]
    assert len(paths) == 10_002
    assert paths[-1].startswith(b"runner-0~19/")
    assert max(map(len, paths)) < 4096


def test_a_long_path_can_be_extracted_from_its_folds(archiving: Archiving) -> None:
    with deep_directories(archiving.source, 60, name=b"n" * 255):
        assert_sound(archiving)
    extracted = archiving.extract()
    folds = sorted(os.listdir(extracted.parent))
    assert folds == sorted(["runner-0", *(f"runner-0~{number}" for number in range(1, 16))])
    found = [files for fold in folds for _, _, files in os.walk(extracted.parent / fold) if files]
    assert found == [["leaf"]]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"new\nline", id="newline"),
        pytest.param(b"\x1b]0;title\x07", id="escape"),
        pytest.param(b"\xff\xfe", id="not utf-8"),
        pytest.param(b"n" * 255, id="255 bytes"),
        pytest.param("ä".encode() * 127, id="long utf-8"),
        pytest.param(b"-rf", id="option"),
        pytest.param(b"a=b%3D", id="equals"),
        pytest.param(b" ", id="space"),
    ],
)
def test_odd_names_are_kept(archiving: Archiving, name: bytes) -> None:
    path = os.fsencode(archiving.source) + b"/" + name
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.symlink(name, path[:-1] + b"~")
    assert_sound(archiving)
    assert sorted(os.listdir(os.fsencode(archiving.extract()))) == sorted(os.listdir(os.fsencode(archiving.source)))


@needs_root
def test_modes_owners_and_extended_attributes_come_back(archiving: Archiving) -> None:
    program, folder, link = (archiving.source / name for name in ("program", "folder", "link"))
    program.write_text("#!/bin/sh\n")
    folder.mkdir()
    link.symlink_to("program")
    os.chown(program, 3_000_000_000, 2_500_000)
    program.chmod(0o6755)
    folder.chmod(0o1777)
    acl = bytes.fromhex("0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff")
    kept = {
        program: {"user.a=b%3D": b"\0\xff\n", "security.capability": bytes.fromhex("0100000200040000" + "00" * 12)},
        folder: {"user.folder": b"value", "system.posix_acl_access": acl},
    }
    try:
        os.setxattr(link, "security.mark", b"link", follow_symlinks=False)
        for path, xattrs in kept.items():
            for name, value in xattrs.items():
                os.setxattr(path, name, value)
    except OSError as exc:
        pytest.skip(f"no extended attributes here: {exc}")
    assert_sound(archiving)
    assert archiving.entries()[b"link"].xattrs == {b"security.mark": b"link"}
    extracted = archiving.extract()
    for path, xattrs in kept.items():
        for name, value in xattrs.items():
            assert os.getxattr(extracted / path.name, name) == value
    restored = (extracted / "program").stat()
    assert (restored.st_uid, restored.st_gid) == (3_000_000_000, 2_500_000)
    assert stat.S_IMODE(restored.st_mode) == 0o6755


def test_too_many_extended_attributes_are_a_problem_not_a_memory_bomb(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archiving.source / "file").write_text("text")
    os.setxattr(archiving.source / "file", "user.large", b"x" * 1000)
    monkeypatch.setattr("metrics_storage.engine.archives.format.xattrs._XATTRS_MAX", 100)
    summary = archiving.write()
    assert summary.problems == ("runner-0/file: unreadable (extended attributes: E2BIG)",)
    assert not archiving.verify().clean


def test_hard_links_are_stored_once_and_foreign_ones_in_full(archiving: Archiving) -> None:
    (archiving.root / "outside").write_text("outside")
    os.link(archiving.root / "outside", archiving.source / "foreign")
    (archiving.source / "a").write_text("inside")
    os.link(archiving.source / "a", archiving.source / "b")
    before = (archiving.root / "outside").stat()
    assert_sound(archiving)
    entries = archiving.entries()
    assert (entries[b"b"].link, entries[b"b"].payload) == (b"runner-0/a", 0)
    assert (entries[b"foreign"].link, entries[b"foreign"].nlink) == (None, 2)
    assert (archiving.root / "outside").stat() == before
    extracted = archiving.extract()
    assert (extracted / "a").stat().st_ino == (extracted / "b").stat().st_ino
    assert (extracted / "foreign").read_text() == "outside"


def test_attributes_stand_once_a_file_whatever_names_it_has(archiving: Archiving) -> None:
    (archiving.source / "a").write_bytes(b"content")
    os.setxattr(archiving.source / "a", "user.mark", b"m" * 1000)
    os.link(archiving.source / "a", archiving.source / "b")
    assert_sound(archiving)
    entries = archiving.entries()
    assert (entries[b"a"].xattrs, entries[b"b"].xattrs) == ({b"user.mark": b"m" * 1000}, {})
    assert (entries[b"b"].link_number, entries[b"a"].number) == (1, 1)
    extracted = archiving.extract()
    assert os.getxattr(extracted / "b", "user.mark") == b"m" * 1000


def names_without_sparse(tar: bytes) -> list[bytes]:
    """The members as a reader sees them that knows PAX, but nothing of files with holes."""
    found: list[bytes] = []
    records = b""
    position = 0
    while any(block := tar[position : position + 512]):
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type == tarfile.XHDTYPE:
            records = tar[position + 512 : position + 512 + info.size]
        else:
            path = re.search(rb"(?:^|\n)[0-9]+ path=([^\n]*)\n", records)
            found.append(path[1] if path else os.fsencode(info.name))
            records = b""
        position += 512 + -(-info.size // 512) * 512
    return found


def test_every_file_with_holes_has_a_name_of_its_own_for_readers_that_know_none(archiving: Archiving) -> None:
    (archiving.source / "sub").mkdir()
    for name in ("content", "other", "sub/content", "n" * 120):
        with (archiving.source / name).open("wb") as file:
            file.truncate(1 << 20)
    assert_sound(archiving)
    found = names_without_sparse(gzip.decompress(archiving.archive.read_bytes()))
    assert len(found) == len(set(found)) == 6
    for path in (b"runner-0/content", b"runner-0/other", b"runner-0/sub/content", b"runner-0/" + b"n" * 120):
        directory, _, last = path.rpartition(b"/")
        pattern = re.escape(directory) + rb"/GNUSparseFile\.[0-9]+/" + re.escape(last)
        assert any(re.fullmatch(pattern, each) for each in found), found


def test_times_at_both_ends_of_what_memory_keeps_are_archived() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        archiving = Archiving(Path(root))
        for number, seconds in enumerate((10**18, -(10**18) - 1, 2**63 - 1, -(2**63))):
            path = archiving.source / str(number)
            path.touch()
            os.utime(path, ns=(0, seconds * 10**9))
            assert path.stat().st_mtime_ns == seconds * 10**9
        assert_sound(archiving)


def test_hard_links_that_no_longer_fit_the_table_are_stored_in_full(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metrics_storage.engine.archives.format.paths._LINK_TABLE_BYTES", 0)
    (archiving.source / "a").write_text("inside")
    os.link(archiving.source / "a", archiving.source / "b")
    assert_sound(archiving)
    assert archiving.entries()[b"b"].payload == 6


@needs_root
def test_another_mount_is_recorded_and_not_entered(archiving: Archiving) -> None:
    outside = archiving.root / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    (archiving.source / "mount").mkdir()
    (archiving.source / "file").touch()
    mounts = {outside: archiving.source / "mount", outside / "secret": archiving.source / "file"}
    for what, where in mounts.items():
        if subprocess.run(["mount", "--bind", what, where], capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
    try:
        assert not archiving.write().clean
    finally:
        for where in mounts.values():
            subprocess.run(["umount", where], check=True)
    assert [(name, e.status, e.stored) for name, e in archiving.entries().items() if e.depth] == [
        (b"file", "other-mount", False),
        (b"mount", "other-mount", False),
    ]


def test_the_same_directory_gives_the_same_bytes(archiving: Archiving) -> None:
    (archiving.source / "file").write_bytes(os.urandom(100_000))
    first = archiving.write()
    archiving.archive.unlink()
    archiving.manifest.unlink()
    assert archiving.write() == first


def test_access_times_are_left_alone(archiving: Archiving) -> None:
    path = archiving.source / "file"
    path.write_text("text")
    os.utime(path, ns=(1, 2))
    assert_sound(archiving)
    assert path.stat().st_atime_ns == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a~1", "a\n"])
def test_a_name_that_cannot_be_a_top_directory_is_refused(name: str) -> None:
    fields = {field: getattr(HEADER, field) for field in HEADER.__slots__}
    with pytest.raises(ArchiveError, match="top directory"):
        Header(**(fields | {"name": name}))
