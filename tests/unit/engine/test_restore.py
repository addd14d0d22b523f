"""Restoring gives back what was archived, and refuses what could harm whoever restores."""

import errno
import gzip
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.archives.format import verify_archive
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.tarformat import BLOCK
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.restore.policy import RestoreOptions, Survey, survey
from metrics_storage.engine.archives.restore.restore import Restored, restore_archive
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.errors import ArchiveCorruptError, ArchiveError
from tests.unit.engine.archiving import Archiving, close, deep_directories, open_count
from tests.unit.engine.forging import TOP, Parts, directory, file, forge, hard_link, sparse_file, symlink
from tests.unit.engine.loops import mounted

SKIP = RestoreOptions(skip_refused=True)


@pytest.fixture
def archiving(tmp_path: Path) -> Archiving:
    return Archiving(tmp_path)


def restore(
    archiving: Archiving,
    options: RestoreOptions | None = None,
    between: Callable[[VerifiedArchive], None] = lambda _: None,
) -> tuple[Path, Restored]:
    """Verify, then restore into a new directory; what came out."""
    target = archiving.root / "restored"
    target.mkdir(exist_ok=True)
    fds = [
        os.open(archiving.archive, os.O_RDONLY),
        os.open(archiving.manifest, os.O_RDONLY),
        os.open(target, os.O_RDONLY | os.O_DIRECTORY),
    ]
    try:
        verified = verify_archive(fds[0], fds[1])
        between(verified)
        return target, restore_archive(fds[0], fds[1], fds[2], verified, options or RestoreOptions())
    finally:
        close(fds)


def look(archiving: Archiving, options: RestoreOptions | None = None) -> Survey:
    fd = os.open(archiving.manifest, os.O_RDONLY)
    try:
        return survey(fd, options or RestoreOptions())
    finally:
        os.close(fd)


def everything(archiving: Archiving) -> None:
    """A directory with one of everything that comes back."""
    source = archiving.source
    (source / "a").write_bytes(os.urandom(300_000))
    (source / "sub" / "deeper").mkdir(parents=True)
    (source / "sub" / "empty").write_bytes(b"")
    (source / "link").symlink_to("sub/empty")
    (source / "sub" / "up").symlink_to("../a")
    os.link(source / "a", source / "sub" / "hard")
    os.mkfifo(source / "fifo", 0o620)
    (source / "a").chmod(0o640)
    (source / os.fsdecode(b"\xff\n\x1b[31m")).write_bytes(b"odd")
    with (source / "sparse").open("wb") as sparse:
        sparse.seek(64 << 20)
        sparse.write(b"data")
        sparse.truncate(128 << 20)
    os.setxattr(source / "a", "user.origin", b"runner")
    os.utime(source / "sub" / "empty", ns=(1, 1_234_567_890_123_456_789))
    os.utime(source / "sub", ns=(1, 987_654_321_000_000_001))
    (source / "sub").chmod(0o500)


def test_what_was_archived_comes_back_as_it_was(archiving: Archiving) -> None:
    everything(archiving)
    assert archiving.write().clean
    target, restored = restore(archiving)
    assert (restored.entries, restored.refused.count, restored.lost_xattrs) == (11, 0, 0)
    # The restored directory, put in the place of the source, equals the manifest but for its inodes.
    for path in sorted(archiving.source.rglob("*")):
        twin = target / "runner-0" / path.relative_to(archiving.source)
        one, other = path.lstat(), twin.lstat()
        assert (one.st_mode, one.st_mtime_ns, one.st_nlink) == (other.st_mode, other.st_mtime_ns, other.st_nlink), path
        if path.is_symlink():
            assert path.readlink() == twin.readlink()
        elif path.is_file():
            assert path.read_bytes() == twin.read_bytes()
            assert other.st_blocks <= one.st_blocks + 8
    assert os.getxattr(target / "runner-0" / "a", "user.origin") == b"runner"
    assert (target / "runner-0" / "sub" / "hard").samefile(target / "runner-0" / "a")
    assert sorted(os.listdir(target)) == ["runner-0"]


def test_gnu_tar_finds_no_difference_to_what_was_restored(archiving: Archiving) -> None:
    everything(archiving)
    archiving.write()
    target, _ = restore(archiving, RestoreOptions(same_owner=os.getuid() == 0))
    compared = subprocess.run(
        ["tar", "--warning=no-unknown-keyword", "--compare", "-zf", archiving.archive, "-C", target],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (compared.stdout, compared.returncode) == ("", 0), compared.stderr


def test_folded_deep_paths_come_back_nested_and_no_descriptor_is_left(archiving: Archiving) -> None:
    with deep_directories(archiving.source, 400, b"d" * 40):
        os.utime(archiving.source / ("d" * 40), ns=(5, 5))
        assert archiving.write().clean
        before = open_count()
        target, restored = restore(archiving)
        assert open_count() == before
        assert restored.entries == 402
    assert os.listdir(target) == ["runner-0"]
    assert (target / "runner-0" / ("d" * 40)).stat().st_mtime_ns == 5
    fd = os.open(target / "runner-0", os.O_RDONLY)
    for _ in range(400):
        below = os.open(b"d" * 40, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    assert os.listdir(fd) == ["leaf"]
    os.close(fd)
    parent = os.open(target, os.O_RDONLY)
    remove_tree(parent, TOP, inode=(target / "runner-0").stat().st_ino)
    os.close(parent)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param(
            [symlink(b"runner-0/l", b"/etc/shadow")], "l: symbolic link to /etc/shadow, an absolute", id="abs"
        ),
        pytest.param([symlink(b"runner-0/l", b"..")], "out of the directory", id="the directory above"),
        pytest.param([symlink(b"runner-0/l", b"./.././x")], "out of the directory", id="climbs behind a dot"),
        pytest.param(
            [directory(b"runner-0/d", 1), symlink(b"runner-0/d/l", b"../..", 2)],
            "out of the directory",
            id="two levels",
        ),
        pytest.param(
            [symlink(b"runner-0/d", b"."), symlink(b"runner-0/l", b"d/d/../../x")],
            "which climbs after it descends",
            id="through another link",
        ),
        pytest.param([symlink(b"runner-0/l", b"")], "which no link can say", id="empty target"),
        pytest.param([symlink(b"runner-0/l", b"x" * 5000)], "which no link can say", id="endless target"),
        pytest.param([file(b"runner-0/a", mtime_ns=2**63 * 10**9)], "which no file can have", id="time"),
    ],
)
def test_dangerous_entries_are_refused_by_name(archiving: Archiving, parts: list[Parts], said: str) -> None:
    forge(archiving, directory(), *parts, file(b"runner-0/z"))
    refused = look(archiving).refused
    assert any(said in text for text in refused.named), refused.named
    with pytest.raises(ArchiveError, match=r"runner-0/."):
        restore(archiving)
    assert not (archiving.root / "restored" / "runner-0" / "z").exists()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([hard_link(b"runner-0/l", b"/etc/shadow")], id="outside"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0/../../x")], id="climbs"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0")], id="the directory"),
        pytest.param([symlink(b"runner-0/a", b"/etc/shadow"), hard_link(b"runner-0/l", b"runner-0/a")], id="a link"),
        pytest.param([file(b"runner-0/a"), hard_link(b"runner-0/l", b"runner-0/a")], id="a file with one"),
    ],
)
def test_hard_links_of_version_1_lead_to_nothing_but_restored_files(archiving: Archiving, parts: list[Parts]) -> None:
    forge(archiving, directory(), *parts, version=1)
    assert any("which is no restored file of the archive" in text for text in look(archiving).refused.named)
    target, restored = restore(archiving, SKIP)
    assert restored.refused.count >= 1
    assert not (target / "runner-0" / "l").exists()


def test_refused_entries_can_be_left_out(archiving: Archiving) -> None:
    forge(
        archiving,
        directory(),
        symlink(b"runner-0/a", b"/etc/shadow"),
        symlink(b"runner-0/b", b".."),
        file(b"runner-0/c", b"c" * 1000),
        symlink(b"runner-0/d", b"c"),
    )
    target, restored = restore(archiving, SKIP)
    assert restored.refused.count == 2
    assert sorted(os.listdir(target / "runner-0")) == ["c", "d"]
    assert (target / "runner-0" / "d").read_bytes() == b"c" * 1000


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([file(b"../evil")], id="parent"),
        pytest.param([file(b"runner-0/../evil")], id="parent inside"),
        pytest.param([file(b"/tmp/evil")], id="absolute"),
        pytest.param([file(b"runner-0/..")], id="named like the parent"),
        pytest.param([file(b"runner-0/a"), file(b"runner-0/a", b"again")], id="twice"),
        pytest.param([symlink(b"runner-0/a", b"/tmp"), file(b"runner-0/a/evil", depth=2)], id="through a link"),
        pytest.param([file(b"runner-0/a"), file(b"runner-0/a/evil", depth=2)], id="through a file"),
        pytest.param([file(b"elsewhere/a")], id="another top"),
        pytest.param([file(b"runner-0~1/a")], id="a fold that is none"),
        pytest.param([file(b"runner-0/a", size=10**15, payload=10**15)], id="huge size"),
        pytest.param([sparse_file(b"runner-0/a", b"7", 10**18)], id="sparse without map"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0")], id="hard link to the directory"),
        pytest.param([hard_link(b"runner-0/l", b"runner-0/l")], id="hard link to itself"),
        pytest.param([symlink(b"runner-0/a", b"x"), hard_link(b"runner-0/l", b"runner-0/a")], id="hard link to a link"),
        pytest.param([file(b"runner-0/a"), hard_link(b"runner-0/l", b"runner-0/a")], id="hard link to a single file"),
        pytest.param([(Entry(b"runner-0/a", 1, type="directory", stored=False), b"")], id="directory not stored"),
    ],
)
def test_what_the_writer_never_writes_is_corrupt_though_archive_and_manifest_agree(
    archiving: Archiving, parts: list[Parts]
) -> None:
    forge(archiving, directory(), *parts)
    with pytest.raises(ArchiveCorruptError):
        restore(archiving, SKIP)
    assert os.listdir(archiving.root / "restored") == []


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE], ids=["chr", "blk", "contiguous"])
def test_members_of_other_types_are_never_restored(archiving: Archiving, kind: bytes) -> None:
    info = tarfile.TarInfo("runner-0/device")
    info.type, info.devmajor, info.devminor = kind, 1, 3
    forge(archiving, directory(), raw=info.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(ArchiveCorruptError):
        restore(archiving, SKIP)


def test_devices_and_sockets_stand_in_the_manifest_only(archiving: Archiving) -> None:
    forge(archiving, directory(), (Entry(b"runner-0/null", 1, type="character", mode=0o666, device=(1, 3)), b""))
    assert look(archiving).recorded == {"character": 1}
    target, restored = restore(archiving)
    assert restored.entries == 1
    assert os.listdir(target / "runner-0") == []


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        pytest.param(RestoreOptions(), 0o1755, id="left out"),
        pytest.param(RestoreOptions(keep_special_modes=True), 0o7755, id="kept when asked"),
    ],
)
def test_setuid_and_setgid_are_left_out_unless_asked_for(
    archiving: Archiving, options: RestoreOptions, mode: int
) -> None:
    forge(archiving, directory(), file(b"runner-0/su", mode=0o7755))
    assert look(archiving, options).stripped == (mode != 0o7755)
    target, _ = restore(archiving, options)
    assert stat.S_IMODE((target / "runner-0" / "su").stat().st_mode) == mode


def test_only_user_attributes_are_restored_and_what_is_not_taken_is_counted(archiving: Archiving) -> None:
    xattrs = {b"user.a": b"1", b"security.capability": b"\1", b"nonsense": b"2"}
    forge(archiving, directory(), file(b"runner-0/a", xattrs=xattrs))
    assert look(archiving).xattrs == 2
    target, restored = restore(archiving)
    assert os.listxattr(target / "runner-0" / "a") == ["user.a"]
    assert restored.lost_xattrs == 0
    (archiving.root / "restored").rename(archiving.root / "before")
    assert restore(archiving, RestoreOptions(all_xattrs=True))[1].lost_xattrs >= 1


def test_a_size_beyond_the_file_system_is_refused_by_name(archiving: Archiving) -> None:
    size = 2**62
    content = b"1\n%d\n0\n" % size
    content += bytes(-len(content) % BLOCK)
    forge(archiving, directory(), sparse_file(b"runner-0/a", content, size), file(b"runner-0/b"))
    target, restored = restore(archiving, SKIP)
    assert restored.refused.named == ["runner-0/a: this file system cannot hold it: File too large"]
    assert os.listdir(target / "runner-0") == ["b"]


@pytest.mark.parametrize("refusal", [errno.EEXIST, errno.EACCES, errno.EILSEQ, errno.EINVAL])
def test_a_name_that_the_target_refuses_is_left_out_with_all_below(
    archiving: Archiving, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    make, create = os.mkdir, os.open

    def refuse(name: object, *arguments: Any, **named: Any) -> None:
        if name in (b"AUX", b"NUL"):
            raise OSError(refusal, os.strerror(refusal))

    def mkdir(name: Any, *arguments: Any, **named: Any) -> None:
        refuse(name)
        make(name, *arguments, **named)

    def open_(name: Any, *arguments: Any, **named: Any) -> int:
        refuse(name)
        return create(name, *arguments, **named)

    below = (directory(b"runner-0/AUX", 1), directory(b"runner-0/AUX/deep", 2), file(b"runner-0/AUX/deep/a", depth=3))
    forge(archiving, directory(), *below, file(b"runner-0/NUL"), file(b"runner-0/b"))
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "open", open_)
    target, restored = restore(archiving, SKIP)
    assert [text.partition(": ")[0] for text in restored.refused.named] == [
        "runner-0/AUX",
        "runner-0/AUX/deep",
        "runner-0/AUX/deep/a",
        "runner-0/NUL",
    ]
    assert os.listdir(target / "runner-0") == ["b"]


def test_nothing_that_exists_is_ever_touched(archiving: Archiving) -> None:
    forge(archiving, directory(), file(b"runner-0/a"))
    victim = archiving.root / "victim"
    victim.mkdir()
    (archiving.root / "restored").mkdir()
    (archiving.root / "restored" / "runner-0").symlink_to(victim)
    with pytest.raises(ArchiveError, match="runner-0 cannot be restored: File exists"):
        restore(archiving, SKIP)
    assert os.listdir(victim) == []


def test_an_archive_that_changes_after_its_verification_is_found_out(archiving: Archiving) -> None:
    forge(archiving, directory(), file(b"runner-0/a", b"good content"))
    good = archiving.archive.read_bytes()

    def swap(_: VerifiedArchive) -> None:
        bad = gzip.decompress(good).replace(b"good content", b"evil content")
        archiving.archive.write_bytes(gzip.compress(bad, mtime=0))

    with pytest.raises(ArchiveCorruptError, match="runner-0/a: not what was verified, do not trust"):
        restore(archiving, between=swap)


def test_hard_links_come_back_on_btrfs() -> None:
    with mounted("btrfs") as root:
        archiving = Archiving(root)
        (archiving.source / "a").write_text("content")
        for name in ("b", "c"):
            os.link(archiving.source / "a", archiving.source / name)
        archiving.write()
        target, restored = restore(archiving)
        assert (restored.entries, restored.refused.count) == (4, 0)
        assert (target / "runner-0" / "a").samefile(target / "runner-0" / "c")
        assert os.listdir(target) == ["runner-0"]
