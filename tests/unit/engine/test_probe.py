"""A file system that cannot do what is relied upon is refused before anything is kept on it."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.fs import durable
from metrics_storage.engine.volume.probe import missing_abilities
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import VolumeError
from tests.unit.engine.loops import mounted

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
Lack = Callable[[pytest.MonkeyPatch], None]


def nothing(*_args: Any, **_kwargs: Any) -> None:
    """What a file system does that says nothing and does nothing."""


def refusing(code: int) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


def other_inodes(patch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100))
    patch.setattr(durable, "inode_of", lambda *_: next(numbers))


def replacing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(durable, "move", lambda old, fd, new, to: os.rename(old, new, src_dir_fd=fd, dst_dir_fd=to))


def short_names(patch: pytest.MonkeyPatch) -> None:
    real = os.open

    def shorter(path: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(path, bytes) and len(path) > 143:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return real(path, *args, **kwargs)

    patch.setattr(os, "open", shorter)


LACKS = [
    pytest.param(lambda patch: patch.setattr(os, "fchmod", nothing), "modes that take effect", id="modes ignored"),
    pytest.param(
        lambda patch: patch.setattr(os, "fchmod", refusing(errno.EPERM)), "modes that take effect", id="modes refused"
    ),
    pytest.param(other_inodes, "inode numbers that stay", id="inodes"),
    pytest.param(replacing, "renaming without replacing", id="replacing"),
    pytest.param(
        lambda patch: patch.setattr(durable, "move", refusing(errno.EPERM)), "renaming without replacing", id="no links"
    ),
    pytest.param(
        lambda patch: patch.setattr(durable, "write_file", refusing(errno.EINVAL)), "replacing a file", id="no rename"
    ),
    pytest.param(lambda patch: patch.setattr(fcntl, "flock", nothing), "locks (two had", id="locks ignored"),
    pytest.param(
        lambda patch: patch.setattr(fcntl, "flock", refusing(errno.ENOLCK)), "locks (No locks", id="locks refused"
    ),
    pytest.param(short_names, "names of 255 bytes (File name too long)", id="names"),
]


@pytest.mark.parametrize(("lack", "said"), LACKS)
def test_what_is_missing_is_said_and_the_volume_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: Lack, said: str
) -> None:
    with monkeypatch.context() as patch:
        lack(patch)
        fd = os.open(tmp_path, os.O_RDONLY)
        (missing,) = missing_abilities(fd)
        os.close(fd)
    assert missing.startswith(said)
    assert ", so that " in missing
    assert not list(tmp_path.iterdir())


@needs_root
def test_owners_that_are_ignored_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", nothing)
    fd = os.open(tmp_path, os.O_RDONLY)
    assert missing_abilities(fd) == [
        "owners that take effect (65534 becomes 0), so that directories would not belong to their runners"
    ]
    os.close(fd)


def test_owners_that_only_root_may_give_are_no_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", refusing(errno.EPERM))
    fd = os.open(tmp_path, os.O_RDONLY)
    assert missing_abilities(fd) == []
    os.close(fd)


@pytest.mark.parametrize("role", Role)
def test_a_new_volume_is_refused_and_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", nothing)
        with pytest.raises(VolumeError, match=rf"{role} volume {tmp_path} cannot be used.*lacks locks.*use one that"):
            Volume(tmp_path, role, initialise=True)
    assert not list(tmp_path.iterdir())
    with Volume(tmp_path, role, initialise=True) as volume:
        volume.probe()
        before = sorted(os.listdir(volume.private_fd))
        monkeypatch.setattr(fcntl, "flock", nothing)
        with pytest.raises(VolumeError, match="lacks locks"):
            volume.probe()
        assert sorted(os.listdir(volume.private_fd)) == before


def test_a_full_volume_is_not_said_to_lack_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Volume(tmp_path, Role.STORAGE, initialise=True) as volume:
        for holder, name in ((durable, "write_file"), (os, "mkdir")):
            with monkeypatch.context() as patch:
                patch.setattr(holder, name, refusing(errno.ENOSPC))
                volume.probe()


def test_a_volume_where_nothing_can_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Volume(tmp_path, Role.STORAGE, initialise=True) as volume:
        monkeypatch.setattr(os, "mkdir", refusing(errno.EIO))
        with pytest.raises(VolumeError, match="Input/output error"):
            volume.probe()


def test_what_an_interrupted_probe_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "probe" / "locks").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    assert missing_abilities(fd) == []
    os.close(fd)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["btrfs", "ext4", "xfs"])
def test_common_file_systems_lack_nothing(kind: str) -> None:
    with mounted(kind) as root, Volume(root, Role.STORAGE, initialise=True) as volume:
        volume.probe()
