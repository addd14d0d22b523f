"""Moves never replace anything, on file systems that help with that and on those that don't."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.fs import durable
from tests.unit.engine.loops import mounted


@pytest.fixture(params=["the file system helps", "as on NFS"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Descriptor of an empty directory."""
    if request.param == "as on NFS":

        def refuse(*_: object) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr(durable, "rename_noreplace", refuse)
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_a_link_in_place_of_a_directory_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError) as caught, durable.opened_directory("link", fd):  # noqa: PT011
            pass
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_move_keeps_the_inode_and_leaves_nothing_behind(root: int, tmp_path: Path, kind: str) -> None:
    make(tmp_path / "a", kind)
    inode = (tmp_path / "a").stat().st_ino
    durable.move("a", root, "b", root)
    assert [(path.name, path.stat().st_ino) for path in tmp_path.iterdir()] == [("b", inode)]


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("there", ["file", "directory", "dangling link"])
def test_a_move_never_replaces_what_is_there(root: int, tmp_path: Path, kind: str, there: str) -> None:
    make(tmp_path / "a", kind)
    make(tmp_path / "b", there)
    inode = (tmp_path / "b").lstat().st_ino
    with pytest.raises(FileExistsError):
        durable.move("a", root, "b", root)
    assert (tmp_path / "b").lstat().st_ino == inode
    assert (tmp_path / "a").exists()


def test_a_file_is_replaced_as_a_whole_and_a_leftover_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".entry.tmp").write_text("half of it")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        durable.write_file("entry", b"one", fd)
        durable.write_file("entry", b"two", fd)
    finally:
        os.close(fd)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("entry", "two")]


def make(path: Path, kind: str) -> None:
    """Something of a kind at a path."""
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.touch()
    else:
        path.symlink_to("nowhere")


def test_a_directory_that_is_open_for_long_is_listed_as_it_is_now() -> None:
    with mounted("btrfs") as root:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in range(3):
                os.mkdir(f"{number}", dir_fd=fd)
                assert len(durable.list_directory(fd)) == number + 1
        finally:
            os.close(fd)
