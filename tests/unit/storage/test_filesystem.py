"""What storages on a local directory do beyond the contract: crashes, locks, rights, volumes that are not there."""

import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.errors import InvalidSpecError, RemovalError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    FilesystemStorageManager,
    GetMetricsStorageError,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from tests.contract.suite import archives, content, names
from tests.unit.engine.engines import engine_on
from tests.unit.storage.local_storages import NOW, OWNER, filled, identity_of, records
from tests.unit.storage.unprivileged import needs_root

# Settings


def test_owner_and_mode_can_be_chosen(base: Path, quarantine: Path) -> None:
    storage = FilesystemStorageManager(base, quarantine, OWNER, "2750").create("runner-0")
    assert storage.path.stat().st_mode & 0o7777 == 0o2750
    assert (storage.path.stat().st_uid, storage.path.stat().st_gid) == (os.getuid(), os.getgid())


@needs_root
def test_without_an_owner_it_is_the_first_ordinary_user(base: Path, quarantine: Path) -> None:
    storage = FilesystemStorageManager(base, quarantine).create("runner-0")
    assert (storage.path.stat().st_uid, storage.path.stat().st_gid) == (1000, 1000)
    assert storage.path.stat().st_mode & 0o7777 == 0o770


def test_a_malformed_owner_is_refused_at_once(base: Path, quarantine: Path) -> None:
    with pytest.raises(InvalidSpecError, match="is not user:group"):
        FilesystemStorageManager(base, quarantine, "1000")
    with pytest.raises(InvalidSpecError, match="is not octal"):
        FilesystemStorageManager(base, quarantine, OWNER, "rwx")


def test_a_finished_life_leaves_no_journal_entry(manager: FilesystemStorageManager, base: Path) -> None:
    manager.create("runner-0")
    manager.create("runner-1")
    manager.delete("runner-0")
    manager.move_to_quarantine("runner-1")
    assert records(base) == []
    assert sorted(os.listdir(base)) == [".metrics-storage"]


# Creation that fails


def test_an_unknown_owner_leaves_nothing(base: Path, quarantine: Path) -> None:
    manager = FilesystemStorageManager(base, quarantine, "nobody-of-that-name:1000")
    with pytest.raises(CreateMetricsStorageError, match="give numeric ids"):
        manager.create("runner-0")
    assert records(base) == []
    assert names(manager) == []


# Crashes


def test_records_of_clusters_are_never_touched(manager: FilesystemStorageManager, base: Path, quarantine: Path) -> None:
    manager.create("runner-0")
    foreign = Identity("runners", "runner-0", Uid("00000000-0000-4000-8000-000000000001"))
    with engine_on(base, quarantine) as engine:
        engine.ensure(foreign, StorageSpec(owner=OWNER))
        engine.latch(foreign, "suspicious", NOW)
    manager.recover()
    manager.delete("runner-0")
    assert names(manager) == []
    assert (base / "runners" / foreign.directory_name).is_dir()


# What resists


def test_an_archive_that_cannot_be_written_keeps_the_storage(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    identity = identity_of(filled(manager))
    obstacle = quarantine / ".metrics-storage" / "incoming" / f"{identity.uid}.tar.gz"
    obstacle.mkdir()
    with pytest.raises(QuarantineMetricsStorageError, match="the directory is kept"):
        manager.move_to_quarantine("runner-0")
    assert archives(quarantine) == []
    # It stays listed, so that a collector that runs again tries it again.
    assert names(manager) == ["runner-0"]
    assert (manager.get("runner-0").path / "metrics.json").exists()
    obstacle.rmdir()
    manager.move_to_quarantine("runner-0")
    assert names(manager) == []
    [archive] = archives(quarantine)
    assert content(archive)["runner-0/metrics.json"] == b"{not JSON"


def test_a_vanished_directory_is_said_and_nothing_is_concluded(
    manager: FilesystemStorageManager, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = filled(manager)
    filled(manager, "runner-1")
    shutil.rmtree(storage.path)
    with pytest.raises(GetMetricsStorageError, match=r"not there any more.*metrics-storage accept-loss --storage-root"):
        manager.get("runner-0")
    with pytest.raises(CreateMetricsStorageError, match="exists already, though somebody removed its directory"):
        manager.create("runner-0")
    with pytest.raises(MetricsStorageError, match="somebody removed the directories of 'runner-0': put them back, or"):
        manager.recover()
    with pytest.raises(QuarantineMetricsStorageError, match="metrics-storage accept-loss"):
        manager.move_to_quarantine("runner-0")
    with caplog.at_level(logging.WARNING):
        assert names(manager) == ["runner-1"]
    assert "'runner-0' is left out" in caplog.text
    manager.delete("runner-0")
    assert "'runner-0' was removed by somebody else" in caplog.text
    assert len(records(base)) == 1
    manager.recover()
    manager.create("runner-0")


def test_a_deletion_succeeds_though_an_earlier_storage_of_the_name_resists(
    manager: FilesystemStorageManager, base: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = identity_of(filled(manager)).uid
    real = Directories.remove_from_trash

    def resist(self: Directories, record: Record, *rest: Any) -> None:
        if record.identity.uid == earlier:
            raise RemovalError("something in it is immutable")
        real(self, record, *rest)

    monkeypatch.setattr(Directories, "remove_from_trash", resist)
    with pytest.raises(DeleteMetricsStorageError, match="immutable"):
        manager.delete("runner-0")
    for end in (manager.delete, manager.move_to_quarantine):
        filled(manager)
        caplog.clear()
        end("runner-0")
        assert "an earlier storage of runner 'runner-0' is not finished: something in it is immutable" in caplog.text
        assert names(manager) == []
    monkeypatch.undo()
    manager.delete("runner-0")
    assert records(base) == []


@needs_root
def test_a_mount_on_a_storage_leaves_it_in_service_and_stops_no_other(
    manager: FilesystemStorageManager,
) -> None:
    storage = filled(manager)
    if subprocess.run(["mount", "-t", "tmpfs", "none", storage.path], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        manager.create("runner-1")
        assert names(manager) == ["runner-0", "runner-1"]
        assert manager.get("runner-0") == storage
        manager.recover()
        with pytest.raises(CreateMetricsStorageError, match="exists already"):
            manager.create("runner-0")
        with pytest.raises(DeleteMetricsStorageError, match=f"umount {storage.path}"):
            manager.delete("runner-0")
        manager.delete("runner-1")
    finally:
        subprocess.run(["umount", storage.path], check=True)
    assert (storage.path / "metrics.json").exists()
    manager.delete("runner-0")


# Arguments


@pytest.mark.parametrize("name", [None, 7, b"runner-0", ["runner-0"]])
def test_a_name_that_is_no_string_is_an_error_of_each_call(manager: FilesystemStorageManager, name: Any) -> None:
    manager.create("runner-1")
    for call, error in (
        (manager.create, CreateMetricsStorageError),
        (manager.get, GetMetricsStorageError),
        (manager.delete, DeleteMetricsStorageError),
        (manager.move_to_quarantine, QuarantineMetricsStorageError),
    ):
        with pytest.raises(error, match="expected str"):
            call(name)


def test_another_directory_in_the_place_of_a_storage_is_not_touched(
    manager: FilesystemStorageManager, base: Path
) -> None:
    storage = filled(manager)
    storage.path.rename(base / "moved-away")
    storage.path.mkdir()
    with pytest.raises(GetMetricsStorageError, match="somebody replaced it"):
        manager.get("runner-0")
    with pytest.raises(DeleteMetricsStorageError, match="somebody replaced it"):
        manager.delete("runner-0")
    assert storage.path.is_dir()
    assert (base / "moved-away" / "metrics.json").exists()


def test_an_unreadable_journal_entry_is_kept_and_does_not_stop_the_others(
    manager: FilesystemStorageManager, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = filled(manager)
    [entry] = (base / ".metrics-storage" / "journal").iterdir()
    entry.write_text('{"format": 99}')
    manager.create("runner-1")
    manager.delete("runner-1")
    manager.recover()
    assert names(manager) == []
    assert "written by another version" in caplog.text
    assert (storage.path / "metrics.json").exists()
    assert entry.exists()


# Several at a time


def test_names_that_begin_alike_and_names_that_are_cut_are_told_apart(manager: FilesystemStorageManager) -> None:
    every = ["r", "r-1", "r-10", "a" * 250, "a" * 251]
    for name in every:
        filled(manager, name, text=name)
    for name in every:
        assert (manager.get(name).path / "metrics.json").read_text() == name
        manager.delete(name)
        assert name not in names(manager)
