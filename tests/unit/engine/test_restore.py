"""Restoring gives back what was archived, and refuses what could harm whoever restores."""

import gzip
import os
import stat
import subprocess

import pytest

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.restore.policy import RestoreOptions
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.errors import ArchiveCorruptError, ArchiveError
from tests.unit.engine.archiving import Archiving, deep_directories, open_count
from tests.unit.engine.forging import TOP, directory, file, forge
from tests.unit.engine.loops import mounted
from tests.unit.engine.restoring import SKIP, look, restore


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
