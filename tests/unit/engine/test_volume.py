"""A volume is ours only with its marker, and never confused with an empty directory."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import VolumeError, VolumeLockedError, VolumeLostError


def marker(path: Path) -> Path:
    return path / ".metrics-storage" / "volume.json"


def test_an_empty_directory_becomes_a_volume_and_keeps_its_id(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    with Volume(tmp_path, Role.STORAGE, initialise=True) as first:
        pass
    with Volume(tmp_path, Role.STORAGE, initialise=False) as again:
        assert again.id == first.id
    assert (tmp_path / ".metrics-storage").stat().st_mode & 0o777 == 0o700


def test_an_empty_directory_is_refused_where_data_must_be(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"no marker .*volume.json: is it mounted\?"):
        Volume(tmp_path, Role.STORAGE, initialise=False)
    assert not list(tmp_path.iterdir())


def test_a_directory_with_anything_in_it_becomes_a_volume_by_a_persons_word_alone(tmp_path: Path) -> None:
    (tmp_path / "family-photos").mkdir()
    said = r"no marker .*: it holds 'family-photos', and only .* init-volume storage .* --beside-content"
    with pytest.raises(VolumeError, match=said):
        Volume(tmp_path, Role.STORAGE, initialise=True)
    assert os.listdir(tmp_path) == ["family-photos"]
    Volume(tmp_path, Role.STORAGE, initialise=True, beside_content=True).close()
    Volume(tmp_path, Role.STORAGE, initialise=False).close()
    assert (tmp_path / "family-photos").is_dir()


@pytest.mark.parametrize("name", [".snapshot", "aquota.user", "lost+found", ".zfs"])
def test_what_storage_systems_put_there_is_no_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    assert (tmp_path / name).is_dir()


def test_a_volume_whose_marker_was_lost_is_not_made_anew_even_beside_content(tmp_path: Path) -> None:
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    marker(tmp_path).unlink()
    for beside in (False, True):
        with pytest.raises(VolumeError, match=r"no marker .*it holds '.metrics-storage'"):
            Volume(tmp_path, Role.STORAGE, initialise=True, beside_content=beside)


def test_reading_writes_nothing(tmp_path: Path) -> None:
    Volume(tmp_path, Role.QUARANTINE, initialise=True).close()
    incoming = tmp_path / ".metrics-storage" / "incoming"
    incoming.chmod(0o750)
    Volume(tmp_path, Role.QUARANTINE, initialise=False, writable=False).close()
    assert incoming.stat().st_mode & 0o777 == 0o750
    incoming.rmdir()
    Volume(tmp_path, Role.QUARANTINE, initialise=False, writable=False).close()
    assert not incoming.exists()


def test_storage_and_quarantine_cannot_be_swapped(tmp_path: Path) -> None:
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    with pytest.raises(VolumeError, match="is a storage volume of format 1, expected a quarantine volume"):
        Volume(tmp_path, Role.QUARANTINE, initialise=True)


def test_an_interrupted_initialisation_is_completed(tmp_path: Path) -> None:
    (tmp_path / ".metrics-storage.new-x").mkdir()
    (tmp_path / ".metrics-storage.new-x" / ".volume.json.tmp").write_text("{")
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    assert json.loads(marker(tmp_path).read_text())["role"] == "storage"


@pytest.mark.parametrize(
    ("root", "said"),
    [
        pytest.param("missing", "No such file or directory; expected a mounted directory", id="missing"),
        pytest.param("file", "Not a directory; expected a mounted directory", id="a file"),
    ],
)
def test_a_root_that_is_no_directory_is_named(tmp_path: Path, root: str, said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeError, match=said):
        Volume(tmp_path / root, Role.STORAGE, initialise=True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"role": "storage"}'])
def test_an_unreadable_marker_is_refused(tmp_path: Path, content: str) -> None:
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    marker(tmp_path).write_text(content)
    with pytest.raises(VolumeError, match="unreadable"):
        Volume(tmp_path, Role.STORAGE, initialise=True)


def test_a_link_in_place_of_the_private_directory_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Volume(other, Role.STORAGE, initialise=True).close()
    root = tmp_path / "root"
    root.mkdir()
    (root / ".metrics-storage").symlink_to(other / ".metrics-storage")
    with pytest.raises(VolumeError):
        Volume(root, Role.STORAGE, initialise=False)


def test_a_second_lock_says_who_has_the_first_and_succeeds_when_it_ends(tmp_path: Path) -> None:
    Volume(tmp_path, Role.STORAGE, initialise=True).close()
    with Volume(tmp_path, Role.STORAGE, initialise=False) as second:
        with Volume(tmp_path, Role.STORAGE, initialise=False) as first:
            first.lock()
            with pytest.raises(VolumeLockedError, match=rf"in use by pid {os.getpid()} on "):
                second.lock()
        second.lock()


@pytest.mark.parametrize("call", ["fstat", "fchown"])
def test_a_lock_that_cannot_be_given_to_its_owner_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    if os.getuid() != 0:
        pytest.skip("nobody but root gives files to others")
    with Volume(tmp_path, Role.STORAGE, initialise=True) as volume:
        os.chown(tmp_path / ".metrics-storage", 12345, 12345)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(VolumeError, match="cannot be locked"):
                volume.lock()
        volume.lock()


def test_what_a_predecessor_wrote_is_flushed_after_the_lock_and_before_any_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Volume(tmp_path, Role.STORAGE, initialise=True) as volume:
        volume.check()
        flushed: list[int] = []
        monkeypatch.setattr("metrics_storage.engine.volume.volume.sync_filesystem", flushed.append)
        volume.check()
        assert flushed == []
        volume.lock()
        volume.check()
        assert flushed == [volume.fd]


def test_a_swapped_volume_is_noticed(tmp_path: Path) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    root.mkdir()
    with Volume(root, Role.STORAGE, initialise=True) as volume:
        volume.check()
        root.rename(kept)
        with pytest.raises(VolumeError, match="No such file"):
            volume.check()
        root.mkdir()
        with pytest.raises(VolumeError, match=r"was it unmounted\?"):
            volume.check()
        root.rmdir()
        kept.rename(root)
        volume.check()


def test_a_lost_marker_is_noticed(tmp_path: Path) -> None:
    with Volume(tmp_path, Role.STORAGE, initialise=True) as volume:
        shutil.copy(marker(tmp_path), tmp_path / "copy")
        marker(tmp_path).unlink()
        with pytest.raises(VolumeError):
            volume.check()
        found = json.loads((tmp_path / "copy").read_text())
        marker(tmp_path).write_text(json.dumps({**found, "id": "another"}))
        with pytest.raises(VolumeError, match=r"has id another, .* was it swapped\?"):
            volume.check()


@pytest.fixture
def remounted(tmp_path: Path) -> Iterator[Volume]:
    """A locked volume, of which a copy stands at its path by now: the same volume under another device number."""
    path = tmp_path / "volume"
    path.mkdir()
    with Volume(path, Role.STORAGE, initialise=True) as volume:
        volume.lock()
        volume.check()
        path.rename(tmp_path / "before")
        shutil.copytree(tmp_path / "before", path)
        yield volume


def test_the_same_volume_mounted_anew_is_opened_anew(remounted: Volume) -> None:
    root, private = remounted.fd, remounted.private_fd
    remounted.check()
    remounted.check()
    assert (remounted.fd, remounted.private_fd) == (root, private)
    assert os.path.samestat(os.fstat(root), remounted.path.stat())
    assert os.path.samestat(os.fstat(private), marker(remounted.path).parent.stat())
    with Volume(remounted.path, Role.STORAGE, initialise=False) as other, pytest.raises(VolumeLockedError):
        other.lock()


def test_a_volume_mounted_anew_that_another_works_on_stays_refused(remounted: Volume) -> None:
    before = os.fstat(remounted.fd)
    with Volume(remounted.path, Role.STORAGE, initialise=False) as other:
        other.lock()
        with pytest.raises(VolumeLockedError, match="is in use by pid"):
            remounted.check()
        assert os.path.samestat(os.fstat(remounted.fd), before)
    remounted.check()


def test_what_was_written_before_is_flushed_on_the_volume_mounted_anew(
    remounted: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("metrics_storage.engine.volume.volume.sync_filesystem", flushed.append)
    remounted.check()
    assert flushed == [remounted.fd]


def test_another_volume_mounted_in_its_place_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.mkdir()
    with Volume(path, Role.STORAGE, initialise=True) as volume:
        path.rename(tmp_path / "before")
        path.mkdir()
        with pytest.raises(VolumeLostError, match="was it unmounted"):
            volume.check()
        Volume(path, Role.STORAGE, initialise=True).close()
        with pytest.raises(VolumeLostError, match=f"expected {volume.id}: was it swapped"):
            volume.check()
        assert os.path.samestat(os.fstat(volume.fd), (tmp_path / "before").stat())
        shutil.rmtree(path)
        with pytest.raises(VolumeLostError, match="No such file"):
            volume.check()
