"""Storages on local directories: whose they are, what must not be done to them, and what is not there."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.errors import SettingsError
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    FilesystemStorageManager,
    GetMetricsStorageError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from tests.contract.suite import archives, names
from tests.unit.storage.local_storages import OWNER, filled
from tests.unit.storage.unprivileged import USER, as_user, needs_root


def test_relative_paths_stay_where_they_were_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manager = FilesystemStorageManager("base", "quarantine", OWNER)
    monkeypatch.chdir("/")
    assert manager.create("runner-0").path.is_relative_to(tmp_path / "base")


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = FilesystemStorageManager("~/base", Path("~/archives"), OWNER).create("runner-0")
    assert made.path.is_relative_to(tmp_path / "base")


@pytest.mark.parametrize("path", ["", 5, None, "a\0b"])
def test_what_is_no_path_is_refused_by_name(tmp_path: Path, path: Any) -> None:
    with pytest.raises(SettingsError, match="base_path"):
        FilesystemStorageManager(path, tmp_path)
    with pytest.raises(SettingsError, match="quarantine_path"):
        FilesystemStorageManager(tmp_path, path)


def test_nothing_but_creating_makes_directories(manager: FilesystemStorageManager, tmp_path: Path) -> None:
    assert list(manager.list_all()) == []
    manager.recover()
    with pytest.raises(GetMetricsStorageError):
        manager.get("runner-0")
    with pytest.raises(DeleteMetricsStorageError):
        manager.delete("runner-0")
    with pytest.raises(QuarantineMetricsStorageError):
        manager.move_to_quarantine("runner-0")
    assert list(tmp_path.iterdir()) == []


def test_archives_are_for_their_owner_alone(manager: FilesystemStorageManager, quarantine: Path) -> None:
    filled(manager)
    manager.move_to_quarantine("runner-0", "3 GiB of logs")
    [archive] = archives(quarantine)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert quarantine.stat().st_mode & 0o777 == 0o700
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    header = json.loads(manifest.read_text().splitlines()[0])
    assert (header["namespace"], header["name"], header["reason"]) == ("local", "runner-0", "3 GiB of logs")


@needs_root
def test_who_is_not_root_is_told_which_owner_works(home: Path) -> None:
    refused, left, after = as_user(
        home,
        "try: FilesystemStorageManager(base, quarantine).create('runner-0')\n"
        "except CreateMetricsStorageError as exc: print(exc)\n"
        "print(os.listdir(base), os.listdir(base / '.metrics-storage/journal'))\n"
        "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
        "(manager.create('runner-0').path / 'metrics.json').touch()\n"
        "manager.move_to_quarantine('runner-0')\n"
        "manager.create('runner-0')\n"
        "manager.delete('runner-0')\n"
        "print(list(manager.list_all()), len(os.listdir(quarantine / 'local')))\n",
    )
    assert "user 12345 may not give a directory to 1000:1000" in refused
    assert "pass the owner '12345:12345'" in refused
    assert left == "['.metrics-storage'] []"
    assert after == "[] 2"


@needs_root
def test_what_root_did_on_the_volumes_of_a_user_locks_him_out_of_nothing(home: Path) -> None:
    base, quarantine = home / "base", home / "quarantine"
    for path in (base, quarantine):
        path.mkdir()
        os.chown(path, USER, USER)
    root = FilesystemStorageManager(base, quarantine, f"{USER}:{USER}")
    for round_ in ("first", "second"):
        for runner in ("kept", "flagged", "left"):
            measured = root.create(f"{round_}-{runner}").path / "metrics.json"
            measured.touch()
            os.chown(measured, USER, USER)
        root.move_to_quarantine(f"{round_}-flagged")
        made = [path for top in (base, quarantine) for path in top.rglob("*") if not path.is_symlink()]
        foreign = {str(path) for path in made if path.stat().st_uid != USER}
        assert foreign == set()
        (left,) = as_user(
            home,
            "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
            f"manager.delete('{round_}-left')\n"
            f"manager.move_to_quarantine('{round_}-kept')\n"
            "manager.create('own')\n"
            "manager.recover()\n"
            "print(sorted(each.runner_name for each in manager.list_all()))\n"
            "manager.delete('own')\n",
        )
        assert left == "['own']"
    assert len(archives(quarantine)) == 4


@needs_root
def test_a_base_directory_that_root_made_stays_with_root_and_says_so(home: Path) -> None:
    FilesystemStorageManager(home / "base", home / "quarantine", f"{USER}:{USER}").create("runner-0")
    (told,) = as_user(
        home,
        "try: FilesystemStorageManager(base, quarantine, '12345:12345').get('runner-0')\n"
        "except GetMetricsStorageError as exc: print(exc)\n",
    )
    assert "cannot be read by user 12345" in told
    assert "as user 0, whose it is" in told


@needs_root
def test_storages_on_a_read_only_mount_can_be_listed(tmp_path: Path) -> None:
    base = tmp_path / "base"
    FilesystemStorageManager(base, tmp_path / "quarantine", OWNER).create("runner-0")
    program = (
        "import sys; from metrics_storage.storage import FilesystemStorageManager as M; "
        "m = M(sys.argv[1], sys.argv[2]); print(*[each.runner_name for each in m.list_all()], m.get('runner-0').path)"
    )
    shell = 'm=$1; shift; mount --bind "$m" "$m" && mount -o remount,bind,ro "$m" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", shell, "sh", str(base), sys.executable, "-c", program]
    done = subprocess.run(
        [*command, str(base), str(tmp_path / "quarantine")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["runner-0", str(next((base / "local").iterdir()))]


@needs_root
def test_what_cannot_be_read_completely_is_kept(home: Path) -> None:
    first, second, kept = as_user(
        home,
        "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
        "path = manager.create('runner-0').path / 'metrics.json'\n"
        "path.write_text('{not JSON')\n"
        "path.chmod(0)\n"
        "for attempt in 1, 2:\n"
        "    try: manager.move_to_quarantine('runner-0')\n"
        "    except QuarantineMetricsStorageError as exc: print(exc)\n"
        "print(*os.listdir(base / '.metrics-storage/frozen'))\n",
    )
    assert "its source is kept" in first
    assert "metrics.json: unreadable (EACCES)" in second
    assert (home / "base" / ".metrics-storage" / "frozen" / kept / "metrics.json").read_text() == "{not JSON"
    assert len(archives(home / "quarantine")) == 1


def test_directories_that_cannot_be_made_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manager = FilesystemStorageManager(tmp_path / "file" / "base", tmp_path / "quarantine", OWNER)
    with pytest.raises(CreateMetricsStorageError, match="Not a directory"):
        manager.create("runner-0")


@pytest.mark.parametrize("inside", [".", "archives", "local"])
def test_archives_never_lie_among_storages(base: Path, inside: str) -> None:
    with pytest.raises(CreateMetricsStorageError, match=r"give each a directory of its own"):
        FilesystemStorageManager(base, base / inside, OWNER).create("runner-0")
    assert not base.exists()


def test_a_umask_hides_no_storage_from_its_owner(base: Path, quarantine: Path) -> None:
    before = os.umask(0o077)
    try:
        FilesystemStorageManager(base / "deeper", quarantine, OWNER).create("runner-0")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (base, base / "deeper")} == {0o755}
    assert stat.S_IMODE((base / "deeper" / "local").stat().st_mode) == 0o711
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700


def test_an_unmounted_quarantine_volume_stops_everything_that_ends_a_storage(
    manager: FilesystemStorageManager, quarantine: Path, tmp_path: Path
) -> None:
    storage = filled(manager)
    quarantine.rename(tmp_path / "elsewhere")
    quarantine.mkdir()
    with pytest.raises(QuarantineMetricsStorageError, match="is it mounted"):
        manager.move_to_quarantine("runner-0")
    assert (storage.path / "metrics.json").exists()
    assert names(manager) == ["runner-0"]


def test_an_unmounted_base_directory_is_said(manager: FilesystemStorageManager, base: Path, tmp_path: Path) -> None:
    filled(manager)
    base.rename(tmp_path / "elsewhere")
    base.mkdir()
    for call in (manager.get, manager.delete, manager.move_to_quarantine):
        with pytest.raises(MetricsStorageError, match="is it mounted"):
            call("runner-0")


def test_a_directory_with_other_things_is_not_taken(manager: FilesystemStorageManager, base: Path) -> None:
    base.mkdir()
    (base / "somebody's").touch()
    with pytest.raises(CreateMetricsStorageError, match="and only an empty directory is made a new volume"):
        manager.create("runner-0")
    with pytest.raises(GetMetricsStorageError, match=r"has no marker"):
        manager.list_all()


def test_one_directory_cannot_be_for_storages_and_archives(base: Path) -> None:
    manager = FilesystemStorageManager(base, base, OWNER)
    with pytest.raises(CreateMetricsStorageError, match="expected a quarantine volume"):
        manager.create("runner-0")
