"""The life of a storage directory, step by step and from every step on again."""

import contextlib
import errno
import itertools
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_storage.engine.fs import durable
from metrics_storage.engine.lifecycle import engine as module
from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import (
    ArchiveCorruptError,
    DirectoryExistsError,
    DirectoryVanishedError,
    InvalidSpecError,
    JournalError,
    RemovalError,
    VolumeError,
)
from metrics_storage.model.identity import ArchiveName
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.lives import IDENTITY, NOW, OTHER, SPEC, THIRD, archives, live, private


def test_a_directory_is_made_with_its_owner_and_mode_and_only_once(engine: StorageEngine) -> None:
    first = engine.ensure(IDENTITY, SPEC)
    assert first.record.phase is Phase.PROVISIONED
    status = live(engine).stat()
    assert stat.S_IMODE(status.st_mode) == 0o770
    assert status.st_ino == first.record.inode
    assert engine.ensure(IDENTITY, SPEC) == first


def test_owner_and_mode_are_left_to_runner_and_kubelet_once_they_were_given(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).chmod(0o2775)
    assert not engine.ensure(IDENTITY, SPEC).repairs
    assert stat.S_IMODE(live(engine).stat().st_mode) == 0o2775


def test_what_is_past_being_provided_is_not_provided_again(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.remove(IDENTITY)
    with pytest.raises(JournalError, match="cannot be provided any more: its directory is Gone"):
        engine.ensure(IDENTITY, SPEC)


@pytest.mark.parametrize("options", ["size=4m", "size=64m,nr_inodes=60"], ids=["bytes", "inodes"])
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "rename"])
def test_a_volume_that_its_runner_keeps_full_gives_up_its_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, exchange: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    if not exchange:
        monkeypatch.setattr(durable, "rename_exchange", cannot_exchange)
    storage_root = tmp_path / "storage"
    quarantine_root = tmp_path / "quarantine"
    for root in (storage_root, quarantine_root):
        root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", storage_root], check=True)
    try:
        with (
            Volume(storage_root, Role.STORAGE, initialise=True) as storage,
            Volume(quarantine_root, Role.QUARANTINE, initialise=True) as quarantine,
        ):
            engine = StorageEngine(storage, quarantine)
            engine.ensure(IDENTITY, SPEC)
            engine.ensure(OTHER, SPEC)
            keep_full(live(engine))
            engine.latch(OTHER, "x", NOW)
            keep_full(live(engine))
            with pytest.raises(OSError, match="No space left"):
                engine.ensure(THIRD, SPEC)
            keep_full(live(engine))
            assert engine.archive(OTHER).phase is Phase.VERIFIED
            keep_full(live(engine))
            assert engine.remove(OTHER).phase is Phase.GONE
            keep_full(live(engine))
            assert engine.remove(IDENTITY).phase is Phase.GONE
            spares = list((storage_root / ".metrics-storage" / "spares").iterdir())
            assert len(spares) == 8
            assert min(spare.stat().st_blocks for spare in spares) >= 8
    finally:
        subprocess.run(["umount", storage_root], check=True)


def test_an_unknown_owner_is_refused_before_anything_is_made(engine: StorageEngine) -> None:
    with pytest.raises(InvalidSpecError, match=r"root:nosuch.*give numeric ids"):
        engine.ensure(IDENTITY, StorageSpec(owner="root:nosuch"))
    assert not live(engine).parent.exists()
    assert not list(engine.uids())


def test_an_unknown_directory_in_the_way_is_left_alone(engine: StorageEngine) -> None:
    live(engine).mkdir(parents=True)
    (live(engine) / "precious").touch()
    with pytest.raises(DirectoryExistsError, match="the journal does not know it"):
        engine.ensure(IDENTITY, SPEC)
    with pytest.raises(DirectoryExistsError, match="no journal entry"):
        engine.check_never_made(IDENTITY, claimed=False)
    assert (live(engine) / "precious").exists()


def test_an_interrupted_creation_is_completed(engine: StorageEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Directories, "_set_ownership", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.ensure(IDENTITY, SPEC)
    record = engine.find(IDENTITY.uid)
    assert record is not None
    assert record.phase is Phase.PROVISIONING
    assert engine.ensure(IDENTITY, SPEC).record.phase is Phase.PROVISIONED


def test_removal_leaves_nothing_but_the_journal_entry_and_then_not_even_that(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "deep" / "er").mkdir(parents=True)
    assert engine.remove(IDENTITY).phase is Phase.GONE
    assert not live(engine).parent.exists()
    assert not list((private(engine) / "trash").iterdir())
    engine.forget(IDENTITY.uid)
    assert engine.find(IDENTITY.uid) is None


def test_removal_of_one_leaves_its_neighbour_of_the_same_name(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.ensure(OTHER, SPEC)
    engine.remove(IDENTITY)
    assert live(engine, OTHER).is_dir()


def test_a_living_directory_is_not_forgotten(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.forget(IDENTITY.uid)
    assert engine.find(IDENTITY.uid) is not None


def test_a_directory_that_was_replaced_is_not_touched(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rename(live(engine).with_name("aside"))
    live(engine).mkdir()
    (live(engine) / "precious").touch()
    with pytest.raises(DirectoryExistsError, match="somebody replaced it"):
        engine.remove(IDENTITY)
    assert (live(engine) / "precious").exists()


def test_a_link_in_place_of_the_directory_is_not_followed(engine: StorageEngine, tmp_path: Path) -> None:
    engine.ensure(IDENTITY, SPEC)
    (tmp_path / "precious").mkdir()
    live(engine).rmdir()
    live(engine).symlink_to(tmp_path / "precious")
    with pytest.raises(DirectoryExistsError, match="is a symbolic link or a file"):
        engine.remove(IDENTITY)
    assert (tmp_path / "precious").exists()


def test_a_file_in_place_of_the_directory_is_not_touched(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rmdir()
    live(engine).touch()
    with pytest.raises(DirectoryExistsError, match="is a symbolic link or a file"):
        engine.remove(IDENTITY)
    assert live(engine).is_file()


def test_a_link_in_place_of_the_namespace_is_not_followed(engine: StorageEngine, tmp_path: Path) -> None:
    engine.ensure(IDENTITY, SPEC)
    aside = tmp_path / "aside"
    live(engine).parent.rename(aside)
    live(engine).parent.symlink_to(aside)
    with pytest.raises(DirectoryExistsError, match="or the directory above it is a symbolic link"):
        engine.remove(IDENTITY)
    assert (aside / live(engine).name).exists()


def test_a_vanished_directory_is_a_loss_unless_it_was_measured_empty(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rmdir()
    with pytest.raises(DirectoryVanishedError, match=r"metrics-storage accept-loss 0b0c7f5e"):
        engine.ensure(IDENTITY, SPEC)
    live(engine).parent.mkdir(exist_ok=True)

    engine.ensure(OTHER, SPEC)
    engine.measure(OTHER)
    live(engine, OTHER).rmdir()
    assert "made anew" in engine.ensure(OTHER, SPEC).repairs[0]
    (live(engine, OTHER) / "metrics.json").touch()
    engine.measure(OTHER)
    shutil.rmtree(live(engine, OTHER))
    with pytest.raises(DirectoryVanishedError):
        engine.ensure(OTHER, SPEC)


def test_a_vanished_directory_is_gone_only_when_a_person_says_so(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rmdir()
    with pytest.raises(DirectoryVanishedError):
        engine.remove(IDENTITY)
    Declarations(engine.storage).declare_lost(IDENTITY.uid)
    assert engine.remove(IDENTITY).phase is Phase.GONE


def test_a_claimed_directory_without_journal_entry_is_a_loss(engine: StorageEngine) -> None:
    engine.check_never_made(IDENTITY, claimed=False)
    with pytest.raises(DirectoryVanishedError):
        engine.check_never_made(IDENTITY, claimed=True)


def test_retained_is_left_alone_for_good(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    assert engine.retain(IDENTITY).phase is Phase.RETAINED
    assert engine.remove(IDENTITY).phase is Phase.RETAINED
    engine.forget(IDENTITY.uid)
    assert engine.find(IDENTITY.uid) is not None
    live(engine).rmdir()
    engine.forget(IDENTITY.uid)
    assert engine.find(IDENTITY.uid) is None


def test_a_removal_that_had_begun_is_undone_where_the_directory_is_retained(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").touch()
    live(engine).rename(private(engine) / "trash" / IDENTITY.uid)
    live(engine).parent.rmdir()
    assert engine.retain(IDENTITY).phase is Phase.RETAINED
    assert (live(engine) / "metrics.json").exists()


def test_a_vanished_directory_cannot_be_retained(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rmdir()
    with pytest.raises(DirectoryVanishedError):
        engine.retain(IDENTITY)


def test_quarantine_archives_what_was_there_and_then_removes_it(engine: StorageEngine, tmp_path: Path) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").write_text("{")
    engine.latch(IDENTITY, "not JSON", NOW)
    record = engine.archive(IDENTITY)
    assert record.phase is Phase.VERIFIED
    assert not live(engine).exists()
    assert engine.remove(IDENTITY).phase is Phase.GONE
    (archive,) = archives(engine)
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path], check=True)
    assert (tmp_path / "runner-0" / "metrics.json").read_text() == "{"


def test_a_latched_quarantine_can_be_neither_cancelled_nor_overtaken(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "first", NOW)
    again = engine.latch(IDENTITY, "second", NOW).quarantine
    assert again is not None
    assert again.reason == "first"
    with pytest.raises(JournalError, match="must be archived before it is removed"):
        engine.remove(IDENTITY)
    with pytest.raises(JournalError):
        engine.retain(IDENTITY)
    assert live(engine).is_dir()


def test_nothing_is_archived_that_was_not_asked_for(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    with pytest.raises(JournalError, match="no latched quarantine"):
        engine.archive(IDENTITY)


def test_an_archive_that_is_not_there_any_more_keeps_the_source(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    engine.archive(IDENTITY)
    (archive,) = archives(engine)
    data = archive.read_bytes()
    archive.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArchiveCorruptError, match="its source is kept"):
        engine.remove(IDENTITY)
    assert (private(engine) / "frozen" / IDENTITY.uid).is_dir()
    archive.write_bytes(data)
    assert engine.remove(IDENTITY).phase is Phase.GONE


def test_an_archive_whose_end_was_not_journalled_is_taken_and_not_made_twice(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    record = engine.archive(IDENTITY)
    assert record.quarantine is not None
    forgotten = replace(record, phase=Phase.FROZEN, quarantine=replace(record.quarantine, attempt=0, archive=None))
    engine._journal.write(forgotten)
    again = engine.archive(IDENTITY)
    assert len(archives(engine)) == 1
    assert again.quarantine is not None
    assert again.quarantine.attempt == 1


def test_a_foreign_file_of_the_archives_name_is_never_replaced(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    name = ArchiveName.of(IDENTITY, 1).files[0]
    foreign = engine.storage.path.parent / "quarantine" / "runners" / name
    foreign.parent.mkdir()
    foreign.write_text("older evidence")
    engine.archive(IDENTITY)
    assert foreign.read_text() == "older evidence"
    assert len(archives(engine)) == 2


def test_what_is_shredded_after_the_flag_is_in_a_provisional_archive(engine: StorageEngine, tmp_path: Path) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").write_text("{")
    engine.latch(IDENTITY, "not JSON", NOW)
    first = engine.snapshot(IDENTITY)
    assert first.must_be_archived
    assert engine.snapshot(IDENTITY) == first
    (live(engine) / "metrics.json").unlink()
    last = engine.archive(IDENTITY)
    assert last.phase is Phase.VERIFIED
    assert last.quarantine is not None
    assert last.quarantine.archive is not None
    assert last.quarantine.provisional is not None
    assert (last.quarantine.provisional.clean, last.quarantine.archive.clean) == (False, True)
    engine.remove(IDENTITY)
    assert len(archives(engine)) == 2
    subprocess.run(["tar", "xzf", archives(engine)[0], "-C", tmp_path], check=True)
    assert (tmp_path / "runner-0" / "metrics.json").read_text() == "{"


def test_a_provisional_archive_never_allows_a_removal(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    engine.snapshot(IDENTITY)
    with pytest.raises(JournalError, match="must be archived"):
        engine.remove(IDENTITY)
    assert live(engine).is_dir()


def test_what_cannot_be_measured_in_time_has_content_and_no_usage(
    engine: StorageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.ensure(IDENTITY, SPEC)
    assert engine.measure(IDENTITY) is not None
    monkeypatch.setattr(module, "_MEASURE_TIMEOUT", -1.0)
    assert engine.measure(IDENTITY) is None
    record = engine.find(IDENTITY.uid)
    assert record is not None
    assert record.had_content


def test_nothing_is_snapshot_that_was_not_flagged(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    with pytest.raises(JournalError, match="no latched quarantine"):
        engine.snapshot(IDENTITY)


def test_a_vanished_source_is_never_taken_for_an_archived_one(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    live(engine).rmdir()
    with pytest.raises(DirectoryVanishedError):
        engine.archive(IDENTITY)


def test_a_vanished_source_is_given_up_only_when_a_person_says_so(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    live(engine).rmdir()
    Declarations(engine.storage).declare_lost(IDENTITY.uid)
    record = engine.archive(IDENTITY)
    assert record.phase is Phase.GONE
    assert record.quarantine is not None
    assert record.quarantine.archive is None
    assert not archives(engine)


def test_a_release_means_nothing_while_the_directory_is_there(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    Declarations(engine.storage).declare_lost(IDENTITY.uid)
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED


def test_a_directory_has_its_mode_whatever_the_umask(engine: StorageEngine) -> None:
    before = os.umask(0o077)
    try:
        engine.ensure(IDENTITY, SPEC)
    finally:
        os.umask(before)
    assert stat.S_IMODE(live(engine).parent.stat().st_mode) == 0o711
    assert stat.S_IMODE(live(engine).stat().st_mode) == 0o770


def test_a_directory_in_trash_that_was_not_condemned_yet_is_still_evidence(engine: StorageEngine) -> None:
    """A crash between the rename into the trash and the journal's word leaves it there, whole."""
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").write_text("{")
    live(engine).rename(private(engine) / "trash" / IDENTITY.uid)
    engine.latch(IDENTITY, "x", NOW)
    engine.archive(IDENTITY)
    assert engine.remove(IDENTITY).phase is Phase.GONE
    assert len(archives(engine)) == 1


def test_what_resists_removal_is_named_and_stays_in_the_trash(engine: StorageEngine, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file immutable")
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "stubborn").touch()
    subprocess.run(["chattr", "+i", live(engine) / "stubborn"], check=True)
    try:
        with pytest.raises(RemovalError, match="stubborn"):
            engine.remove(IDENTITY)
    finally:
        subprocess.run(["chattr", "-i", private(engine) / "trash" / IDENTITY.uid / "stubborn"], check=True)
    assert engine.remove(IDENTITY).phase is Phase.GONE


def test_a_swapped_volume_stops_every_step(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.storage.path.rename(engine.storage.path.with_name("unmounted"))
    engine.storage.path.mkdir()
    for step in (engine.remove, engine.measure, engine.archive, engine.retain):
        with pytest.raises(VolumeError, match="unmounted"):
            step(IDENTITY)
    assert not list(engine.storage.path.iterdir())


def test_a_journal_entry_of_another_version_is_kept_and_stops_everything(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    entry = private(engine) / "journal" / f"{IDENTITY.uid}.json"
    entry.write_text(entry.read_text().replace('"format":1', '"format":9'))
    with pytest.raises(JournalError, match="written by another version"):
        engine.remove(IDENTITY)
    assert live(engine).is_dir()
    assert '"format":9' in entry.read_text()


def keep_full(directory: Path) -> None:
    """Take every block or inode that there is."""
    limited = os.statvfs(directory).f_files < 100
    with contextlib.suppress(OSError):
        for number in itertools.count():
            with (directory / str(number if limited else 0)).open("ab", buffering=0) as file:
                file.write(b"" if limited else bytes(4096))


def cannot_exchange(*_: object) -> None:
    """What file systems like NFS say to an exchange."""
    raise OSError(errno.EINVAL, "Invalid argument")


class EndError(Exception):
    """What a progress raises whose process ends."""


def ending(_bytes: int, _entries: int) -> None:
    raise EndError


def test_a_removal_can_be_ended_and_is_gone_on_with(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    for number in range(600):
        (live(engine) / str(number)).touch()
    with pytest.raises(EndError):
        engine.remove(IDENTITY, ending)
    record = engine.find(IDENTITY.uid)
    assert record is not None
    assert record.phase is Phase.CONDEMNED
    assert (private(engine) / "trash" / IDENTITY.uid).is_dir()
    assert engine.remove(IDENTITY).phase is Phase.GONE


def test_reading_an_archive_once_more_can_be_ended_and_its_source_is_kept(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "evidence").write_text("evidence")
    engine.latch(IDENTITY, "bad", NOW)
    engine.archive(IDENTITY)
    with pytest.raises(EndError):
        engine.condemn(IDENTITY, ending)
    record = engine.find(IDENTITY.uid)
    assert record is not None
    assert record.phase is Phase.VERIFIED
    assert (private(engine) / "frozen" / IDENTITY.uid / "evidence").exists()
    assert engine.remove(IDENTITY).phase is Phase.GONE
