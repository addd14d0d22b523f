"""Removing condemned directories."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.errors import RemovalError
from tests.unit.engine.archiving import deep_directories, open_count

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


class Trash:
    """A trash directory with one condemned directory."""

    def __init__(self, root: Path) -> None:
        self.path = root / "trash"
        self.condemned = self.path / "condemned"
        self.condemned.mkdir(parents=True)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def remove(self, inode: int | None = None) -> None:
        remove_tree(self.fd, b"condemned", inode=inode or self.condemned.stat().st_ino)


@pytest.fixture
def trash(tmp_path: Path) -> Iterator[Trash]:
    trash = Trash(tmp_path)
    yield trash
    os.close(trash.fd)


def set_immutable(path: Path, immutable: bool) -> None:
    get_flags, set_flags, flag = 0x80086601, 0x40086602, 0x10
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("l", fcntl.ioctl(fd, get_flags, bytes(8)))[0]
        fcntl.ioctl(fd, set_flags, struct.pack("l", flags | flag if immutable else flags & ~flag))
    except OSError as exc:
        pytest.skip(f"no immutable flag here: {exc}")
    finally:
        os.close(fd)


def test_everything_goes_and_nothing_outside_is_touched(trash: Trash, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    (trash.condemned / "sub" / "locked").mkdir(parents=True)
    (trash.condemned / "sub" / "locked" / "file").touch()
    (trash.condemned / "sub" / "locked").chmod(0)
    (trash.condemned / "link").symlink_to(outside)
    os.link(outside / "file", trash.condemned / "hard")
    os.mkfifo(trash.condemned / "fifo")
    before = open_count()
    trash.remove()
    assert list(trash.path.iterdir()) == []
    assert (outside / "file").read_text() == "kept"
    assert open_count() == before


def test_thousands_of_levels_go(trash: Trash) -> None:
    with deep_directories(trash.condemned, 3_000):
        trash.remove()
    assert list(trash.path.iterdir()) == []


@pytest.mark.parametrize("kind", ["other directory", "file", "link"])
def test_another_inode_is_refused_and_left_alone(trash: Trash, kind: str) -> None:
    inode = trash.condemned.stat().st_ino
    trash.condemned.rename(trash.path / "real")
    if kind == "other directory":
        trash.condemned.mkdir()
        (trash.condemned / "file").touch()
    elif kind == "file":
        trash.condemned.touch()
    else:
        trash.condemned.symlink_to("real")
    with pytest.raises(RemovalError, match="nothing was removed"):
        trash.remove(inode)
    assert trash.condemned.exists()
    assert (trash.path / "real").exists()


@pytest.mark.parametrize("name", [b"", b".", b"..", b"condemned/sub", b"/tmp"])
def test_only_an_entry_of_the_trash_can_be_named(trash: Trash, name: bytes) -> None:
    with pytest.raises(RemovalError, match="not the name of an entry"):
        remove_tree(trash.fd, name, inode=trash.condemned.stat().st_ino)


def test_what_is_gone_already_is_said_as_such(trash: Trash) -> None:
    inode = trash.condemned.stat().st_ino
    trash.condemned.rmdir()
    with pytest.raises(FileNotFoundError):
        trash.remove(inode)


@needs_root
def test_an_immutable_file_stays_and_is_named_and_the_rest_goes(trash: Trash) -> None:
    (trash.condemned / "a").mkdir()
    evil = trash.condemned / "a" / "evil\n"
    evil.touch()
    (trash.condemned / "b").mkdir()
    (trash.condemned / "b" / "file").touch()
    set_immutable(evil, True)
    try:
        with pytest.raises(RemovalError, match=r"\(1\): a/evil\\n \(Operation not permitted\)"):
            trash.remove()
        assert not (trash.condemned / "b").exists()
    finally:
        set_immutable(evil, False)
    trash.remove()
    assert not trash.condemned.exists()


@needs_root
def test_a_mount_inside_stays_with_its_content(trash: Trash, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    inside = trash.condemned / "mount"
    inside.mkdir()
    if subprocess.run(["mount", "--bind", outside, inside], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(RemovalError, match="cross-device"):
            trash.remove()
    finally:
        subprocess.run(["umount", inside], check=True)
    assert (outside / "file").read_text() == "kept"
    trash.remove()


def test_progress_can_cancel_and_leaks_nothing(trash: Trash) -> None:
    (trash.condemned / "file").touch()
    before = open_count()

    def cancel(_bytes: int, _entries: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        remove_tree(trash.fd, b"condemned", inode=trash.condemned.stat().st_ino, progress=cancel)
    assert open_count() == before
    assert (trash.condemned / "file").exists()
