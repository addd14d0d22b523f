"""The life of a storage directory, step by step and from every step on again."""

import contextlib
import errno
import itertools
import os
import stat
import subprocess
from pathlib import Path

import pytest

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.fs import durable
from metrics_storage.engine.lifecycle import engine as module
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import (
    InvalidSpecError,
    JournalError,
    RemovalError,
    VolumeError,
)
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.lives import IDENTITY, NOW, OTHER, SPEC, THIRD, EndError, ending, live, private


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
            engine = StorageEngine(storage, LocalVault(quarantine))
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


def test_a_directory_has_its_mode_whatever_the_umask(engine: StorageEngine) -> None:
    before = os.umask(0o077)
    try:
        engine.ensure(IDENTITY, SPEC)
    finally:
        os.umask(before)
    assert stat.S_IMODE(live(engine).parent.stat().st_mode) == 0o711
    assert stat.S_IMODE(live(engine).stat().st_mode) == 0o770


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
