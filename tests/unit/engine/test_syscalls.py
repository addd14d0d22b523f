"""Opening beneath a directory and renaming without replacing."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.fs import syscalls
from metrics_storage.engine.fs.syscalls import open_beneath, rename_noreplace, require_openat2
from metrics_storage.errors import VolumeError


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_file_beneath_is_opened_and_closed_on_exec(tmp_path: Path, dir_fd: int) -> None:
    (tmp_path / "file").write_text("text")
    fd = open_beneath(dir_fd, b"file", os.O_RDONLY)
    assert os.read(fd, 10) == b"text"
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param(b"absent", errno.ENOENT, id="absent"),
        pytest.param(b"link", errno.ELOOP, id="link"),
        pytest.param(b"link/passwd", errno.ELOOP, id="through a link"),
        pytest.param(b"..", errno.EXDEV, id="parent"),
        pytest.param(b"/etc/passwd", errno.EXDEV, id="absolute"),
    ],
)
def test_what_is_not_beneath_is_refused_with_its_errno(tmp_path: Path, dir_fd: int, name: bytes, code: int) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        open_beneath(dir_fd, name, os.O_RDONLY)
    assert caught.value.errno == code


def test_another_mount_is_refused() -> None:
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(OSError, match="ross-device") as caught:
        open_beneath(root, b"proc", os.O_RDONLY)
    os.close(root)
    assert caught.value.errno == errno.EXDEV


def test_names_with_nul_are_refused(dir_fd: int) -> None:
    with pytest.raises(ValueError, match="NUL"):
        open_beneath(dir_fd, b"a\0b", os.O_RDONLY)


def test_rename_moves_but_never_replaces(tmp_path: Path, dir_fd: int) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_noreplace(dir_fd, b"a", dir_fd, b"b")
    assert (tmp_path / "b").read_text() == "b"
    rename_noreplace(dir_fd, b"a", dir_fd, b"c")
    assert (tmp_path / "c").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        rename_noreplace(dir_fd, b"a", dir_fd, b"d")


def test_a_kernel_without_openat2_is_named(dir_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    require_openat2(dir_fd)
    monkeypatch.setattr(syscalls, "_SYS_OPENAT2", 10_000)
    with pytest.raises(VolumeError, match=r"Linux 5\.6"):
        require_openat2(dir_fd)
