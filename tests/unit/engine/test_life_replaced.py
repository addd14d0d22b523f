"""A directory that somebody else replaced, removed or put in the way is not touched, and said."""

import shutil
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.errors import (
    DirectoryExistsError,
    DirectoryVanishedError,
)
from metrics_storage.model.record import Phase
from tests.unit.engine.lives import IDENTITY, NOW, OTHER, SPEC, live


def test_an_unknown_directory_in_the_way_is_left_alone(engine: StorageEngine) -> None:
    live(engine).mkdir(parents=True)
    (live(engine) / "precious").touch()
    with pytest.raises(DirectoryExistsError, match="the journal does not know it"):
        engine.ensure(IDENTITY, SPEC)
    with pytest.raises(DirectoryExistsError, match="no journal entry"):
        engine.check_never_made(IDENTITY, claimed=False)
    assert (live(engine) / "precious").exists()


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


def test_a_vanished_directory_cannot_be_retained(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    live(engine).rmdir()
    with pytest.raises(DirectoryVanishedError):
        engine.retain(IDENTITY)


def test_a_release_means_nothing_while_the_directory_is_there(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    Declarations(engine.storage).declare_lost(IDENTITY.uid)
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED
