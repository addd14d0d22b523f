"""Where an archive may be restored to: a new or empty directory with room, apart from the evidence."""

import os
from pathlib import Path

import pytest

from metrics_storage.engine.archives.restore import restoration
from metrics_storage.engine.archives.restore.policy import RestoreOptions
from metrics_storage.engine.archives.restore.restoration import Restoration
from metrics_storage.errors import RestoreTargetError
from tests.unit.engine.archive_site import Site, opened_site


def restore(site: Site, target: Path) -> None:
    with Restoration.verified(site.store, site.archive(), target, RestoreOptions()) as found:
        found.restore()


def test_an_archive_comes_into_a_new_directory(tmp_path: Path) -> None:
    with opened_site(tmp_path) as site:
        restore(site, tmp_path / "target")
    assert os.listdir(tmp_path / "target") == ["runner-0"]


@pytest.mark.parametrize("kind", ["file", "link", "full directory", "quarantine volume", "nowhere"])
def test_nothing_is_restored_over_anything(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    with opened_site(tmp_path) as site:
        match kind:
            case "file":
                target.write_text("mine")
            case "link":
                (tmp_path / "elsewhere").mkdir()
                target.symlink_to(tmp_path / "elsewhere")
            case "full directory":
                target.mkdir()
                (target / "mine").touch()
            case "quarantine volume":
                target = site.quarantine / "restored"
            case _:
                target = tmp_path / "missing" / "target"
        with pytest.raises(RestoreTargetError):
            restore(site, target)
    assert not (tmp_path / "elsewhere").exists() or not os.listdir(tmp_path / "elsewhere")


def test_what_came_into_the_directory_meanwhile_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with (
        opened_site(tmp_path) as site,
        Restoration.verified(site.store, site.archive(), target, RestoreOptions()) as found,
    ):
        target.mkdir()
        (target / "mine").write_text("mine")
        with pytest.raises(RestoreTargetError, match="is not empty"):
            found.restore()
    assert (target / "mine").read_text() == "mine"


def test_an_archive_that_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoration, "_RESERVE", 1 << 60)
    with opened_site(tmp_path) as site, pytest.raises(RestoreTargetError, match="No space left on device"):
        restore(site, tmp_path / "target")
    assert os.listdir(tmp_path / "target") == []
