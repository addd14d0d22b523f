"""The life of a storage directory that is quarantined: latched, frozen, archived, and only then removed."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.errors import (
    ArchiveCorruptError,
    DirectoryVanishedError,
    JournalError,
)
from metrics_storage.model.identity import ArchiveName
from metrics_storage.model.record import Phase
from tests.unit.engine.lives import IDENTITY, NOW, SPEC, EndError, archives, ending, live, private


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


def test_a_directory_in_trash_that_was_not_condemned_yet_is_still_evidence(engine: StorageEngine) -> None:
    """A crash between the rename into the trash and the journal's word leaves it there, whole."""
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").write_text("{")
    live(engine).rename(private(engine) / "trash" / IDENTITY.uid)
    engine.latch(IDENTITY, "x", NOW)
    engine.archive(IDENTITY)
    assert engine.remove(IDENTITY).phase is Phase.GONE
    assert len(archives(engine)) == 1


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
