"""Calls that a crash cut short, and calls that meet another one."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.directories import Directories, Place
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    FilesystemStorageManager,
    GetMetricsStorageError,
    QuarantineMetricsStorageError,
)
from tests.contract.suite import archives, content, names
from tests.unit.engine.engines import engine_on
from tests.unit.storage.local_storages import NOW, OWNER, filled, identity_of, records


def test_a_creation_that_was_cut_short_is_not_listed_and_does_not_block_its_name(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    manager.create("other")
    identity = Identity("local", "runner-0", Uid("00000000-0000-4000-8000-000000000001"))
    with Volume(base, Role.STORAGE, initialise=False) as volume:
        Journal(volume).write(Record(identity=identity, spec=StorageSpec(owner=OWNER)))
    half_made = base / "local" / identity.directory_name
    half_made.mkdir(0o700)
    assert names(manager) == ["other"]
    manager.create("runner-0")
    assert not half_made.exists()
    assert names(manager) == ["other", "runner-0"]


@pytest.mark.parametrize("condemned", [False, True], ids=["before-the-journal-said-so", "after-the-journal-said-so"])
def test_a_deletion_that_was_cut_short_is_gone_on_with(
    manager: FilesystemStorageManager, base: Path, condemned: bool
) -> None:
    old = filled(manager)
    identity = identity_of(old)
    with Volume(base, Role.STORAGE, initialise=False) as volume:
        Directories(volume).move(identity, Place.LIVE, Place.TRASH)
        if condemned:
            record = Journal(volume).read(identity.uid)
            assert record is not None
            Journal(volume).write(record.at(Phase.CONDEMNED))
    assert names(manager) == []
    with pytest.raises(GetMetricsStorageError, match="does not exist"):
        manager.get("runner-0")
    manager.create("runner-0")
    assert os.listdir(base / ".metrics-storage" / "trash") == []
    assert len(records(base)) == 1


def test_a_deletion_that_was_cut_short_can_be_repeated(manager: FilesystemStorageManager, base: Path) -> None:
    identity = identity_of(filled(manager))
    with Volume(base, Role.STORAGE, initialise=False) as volume:
        Directories(volume).move(identity, Place.LIVE, Place.TRASH)
    manager.delete("runner-0")
    assert records(base) == []
    assert os.listdir(base / ".metrics-storage" / "trash") == []


def test_what_is_in_the_trash_but_whole_can_still_be_quarantined(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    identity = identity_of(filled(manager))
    with Volume(base, Role.STORAGE, initialise=False) as volume:
        Directories(volume).move(identity, Place.LIVE, Place.TRASH)
    manager.move_to_quarantine("runner-0")
    [archive] = archives(quarantine)
    assert content(archive)["runner-0/metrics.json"] == b"{not JSON"


def test_what_is_condemned_cannot_be_quarantined_any_more(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    identity = identity_of(filled(manager))
    with Volume(base, Role.STORAGE, initialise=False) as volume:
        Directories(volume).move(identity, Place.LIVE, Place.TRASH)
        record = Journal(volume).read(identity.uid)
        assert record is not None
        Journal(volume).write(record.at(Phase.CONDEMNED))
    with pytest.raises(QuarantineMetricsStorageError, match="does not exist"):
        manager.move_to_quarantine("runner-0")
    assert archives(quarantine) == []


@pytest.mark.parametrize("progress", ["latched", "archived"])
@pytest.mark.parametrize("finisher", ["delete", "move_to_quarantine", "recover"])
def test_a_quarantine_that_was_cut_short_is_finished_and_nothing_is_lost(
    manager: FilesystemStorageManager, base: Path, quarantine: Path, progress: str, finisher: str
) -> None:
    identity = identity_of(filled(manager, text="old"))
    with engine_on(base, quarantine) as engine:
        engine.latch(identity, "suspicious", NOW)
        if progress == "archived":
            engine.archive(identity)
    assert names(manager) == ["runner-0"]
    assert (manager.get("runner-0").path / "metrics.json").read_text() == "old"
    with pytest.raises(CreateMetricsStorageError, match="exists already, and its quarantine is not finished"):
        manager.create("runner-0")
    manager.recover() if finisher == "recover" else getattr(manager, finisher)("runner-0")
    assert names(manager) == []
    assert [content(path)["runner-0/metrics.json"] for path in archives(quarantine)] == [b"old"]
    assert os.listdir(base / ".metrics-storage" / "frozen") == []
    assert records(base) == []
    filled(manager, text="new")
    assert names(manager) == ["runner-0"]


def test_recovery_leaves_what_is_in_service_alone(manager: FilesystemStorageManager) -> None:
    storage = filled(manager)
    manager.recover()
    assert (storage.path / "metrics.json").read_text() == "{not JSON"


def test_a_call_waits_for_another_one_and_then_says_who_it_is(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    manager.create("runner-0")
    with engine_on(base, quarantine):
        with pytest.raises(DeleteMetricsStorageError, match=rf"in use by pid {os.getpid()} .* waited 0.2 s"):
            manager.delete("runner-0")
        assert names(manager) == ["runner-0"]
        assert manager.get("runner-0").runner_name == "runner-0"
    manager.delete("runner-0")


def test_a_call_goes_on_when_the_other_one_ends(base: Path, quarantine: Path) -> None:
    manager = FilesystemStorageManager(base, quarantine, OWNER, patience=30)
    manager.create("runner-0")
    with engine_on(base, quarantine):
        thread = threading.Thread(target=manager.delete, args=("runner-0",))
        thread.start()
    thread.join()
    assert names(manager) == []


def _create(base: Path, quarantine: Path, number: int) -> int:
    manager = FilesystemStorageManager(base, quarantine, OWNER)
    created = 0
    for name in (f"runner-{number}", "shared"):
        try:
            manager.create(name)
        except CreateMetricsStorageError:
            continue
        created += 1
    return created


def test_processes_that_create_one_name_make_one_storage(base: Path, quarantine: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        created = pool.starmap(_create, [(base, quarantine, number) for number in range(3)])
    assert sum(created) == 4
    assert names(FilesystemStorageManager(base, quarantine)) == ["runner-0", "runner-1", "runner-2", "shared"]
