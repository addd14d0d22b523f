"""What is on a quarantine volume is seen, whatever state it is in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.archives.store import ArchiveStore
from metrics_storage.errors import ArchiveCorruptError, VolumeError
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity
from tests.unit.engine.archive_site import RUNNER, UIDS, Site, flip, opened_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path) as site:
        yield site


def test_archives_are_listed_by_namespace_name_uid_and_attempt(site: Site) -> None:
    site.archive(Identity("b", "z", UIDS[1]))
    site.archive(Identity("a", "runner-10", UIDS[2]), provisional=True)
    site.archive(Identity("a", "n" * 253, UIDS[3]))
    (site.quarantine / "a" / "notes.txt").write_text("not ours")
    found = site.store.archives()
    assert [(one.namespace, one.name[:9], one.uid, one.attempt, one.complete) for one in found] == [
        ("a", "nnnnnnnnn", UIDS[3], 1, True),
        ("a", "runner-10", UIDS[2], 1, True),
        ("a", "runner-10", UIDS[2], 2, True),
        ("b", "z", UIDS[1], 1, True),
    ]
    described = [site.store.describe(one) for one in found]
    assert [one.header.name if one.header else None for one in described] == ["n" * 253, "runner-10", "runner-10", "z"]
    assert [one.trailer.clean if one.trailer else None for one in described] == [True, False, True, True]
    assert all(site.store.verify(one).files == 1 for one in found)


@pytest.mark.parametrize(
    ("suffix", "problem"),
    [
        pytest.param(".tar.gz", "the archive is missing", id="archive"),
        pytest.param(".manifest.jsonl", "the manifest is missing", id="manifest"),
    ],
)
def test_a_missing_half_is_said(site: Site, suffix: str, problem: str) -> None:
    site.file(site.archive(), suffix).unlink()
    (stored,) = site.store.archives()
    assert not stored.complete
    assert site.store.describe(stored).problem == problem
    with pytest.raises(ArchiveCorruptError, match=f"{suffix} is missing"):
        site.store.verify(stored)


@pytest.mark.parametrize(
    "where",
    [pytest.param(10, id="header"), pytest.param(-2, id="trailer"), pytest.param(-1, id="last newline")],
)
def test_a_damaged_manifest_is_described_by_its_damage(site: Site, where: int) -> None:
    stored = site.archive()
    flip(site.file(stored, MANIFEST_SUFFIX), lambda size: where % size)
    described = site.store.describe(stored)
    assert described.problem.startswith("manifest")
    assert (described.header, described.trailer) == (None, None)


def test_an_archive_under_anothers_name_is_corrupt(site: Site) -> None:
    stored = site.archive()
    for suffix in (".tar.gz", MANIFEST_SUFFIX):
        site.file(stored, suffix).rename(site.quarantine / "runners" / f"runner-9_{RUNNER.uid}_1{suffix}")
    (renamed,) = site.store.archives()
    assert "under another name" in site.store.describe(renamed).problem
    with pytest.raises(ArchiveCorruptError, match=r"it is archive runners/runner-0_.* under another name"):
        site.store.verify(renamed)


def test_a_link_or_fifo_in_the_place_of_an_archive_is_not_followed(site: Site) -> None:
    stored = site.archive()
    site.file(stored).unlink()
    os.mkfifo(site.file(stored))
    with pytest.raises(ArchiveCorruptError, match="is not a regular file"):
        site.store.verify(stored)
    site.file(stored).unlink()
    site.file(stored).symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        site.store.verify(stored)


def test_a_volume_without_marker_is_no_empty_volume(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="is it mounted"), ArchiveStore.opened(tmp_path):
        pass


def test_an_interrupted_removal_leaves_an_archive_without_manifest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = site.archive()
    unlink = os.unlink

    def die(name: str, *, dir_fd: int) -> None:
        if name.endswith(".tar.gz"):
            raise KeyboardInterrupt
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        site.store.remove(stored, {"archive": stored.path})
    (left,) = site.store.archives()
    assert (left.has_archive, left.has_manifest) == (True, False)
    assert stored.path in (site.quarantine / ".metrics-storage" / "pruned.jsonl").read_text()
