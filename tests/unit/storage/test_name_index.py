"""Calls for one name look at that name alone, and none is missed whoever wrote to the journal."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.fs import durable
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    FilesystemStorageManager,
    GetMetricsStorageError,
)

OWNER = f"{os.getuid()}:{os.getgid()}"


@pytest.fixture
def manager(tmp_path: Path) -> FilesystemStorageManager:
    return FilesystemStorageManager(tmp_path / "base", tmp_path / "quarantine", OWNER)


def create_without_index(root: Path, name: str) -> None:
    """What a version does that knows of no index."""
    with (
        Volume(root / "base", Role.STORAGE, initialise=False) as storage,
        Volume(root / "quarantine", Role.QUARANTINE, initialise=False) as quarantine,
    ):
        storage.lock()
        engine = StorageEngine(storage, LocalVault(quarantine))
        engine.ensure(Identity("local", name, Uid.new()), StorageSpec(owner=OWNER))


def journal(root: Path) -> Path:
    return root / "base" / ".metrics-storage" / "journal"


def test_a_call_for_one_name_reads_no_entries_of_others(
    manager: FilesystemStorageManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        manager.create(f"runner-{number}")
    others = set(os.listdir(journal(tmp_path)))
    assert len(others) == 30
    read: list[str] = []
    original = durable.read_file

    def counted(name: str, dir_fd: int) -> bytes:
        if name.endswith(".json") and name != "volume.json":
            read.append(name)
        return original(name, dir_fd)

    monkeypatch.setattr(durable, "read_file", counted)
    monkeypatch.setattr(Journal, "uids", lambda _: pytest.fail("all were looked at"))
    calls: list[Callable[[str], object]] = [manager.create, manager.get, manager.move_to_quarantine]
    for call in (*calls, manager.create, manager.delete):
        call("another")
        assert len(set(read)) == 1
        assert not others & set(read)
        read.clear()


def test_a_life_that_another_version_began_is_not_missed(manager: FilesystemStorageManager, tmp_path: Path) -> None:
    manager.create("ours")
    create_without_index(tmp_path, "theirs")
    with pytest.raises(CreateMetricsStorageError, match="exists already"):
        manager.create("theirs")
    create_without_index(tmp_path, "later")
    assert manager.get("later").path.is_dir()
    manager.delete("later")
    manager.move_to_quarantine("theirs")
    assert [each.runner_name for each in manager.list_all()] == ["ours"]


def test_a_volume_without_index_gets_one(manager: FilesystemStorageManager, tmp_path: Path) -> None:
    manager.create("ours")
    shutil.rmtree(tmp_path / "base" / ".metrics-storage" / "names")
    assert manager.get("ours").path.is_dir()
    with pytest.raises(CreateMetricsStorageError, match="exists already"):
        manager.create("ours")
    assert (tmp_path / "base" / ".metrics-storage" / "names" / "ours").is_symlink()


@pytest.mark.parametrize(
    "step", ["metrics_storage.engine.volume.journal.Journal.write", "os.fchown", "os.chown", "os.symlink"]
)
def test_a_call_that_was_killed_leaves_no_life_unknown(
    manager: FilesystemStorageManager, tmp_path: Path, step: str
) -> None:
    manager.create("before")
    program = (
        "import os, signal, sys, pkgutil\n"
        "from metrics_storage.storage import FilesystemStorageManager\n"
        f"holder, name = pkgutil.resolve_name({step.rpartition('.')[0]!r}), {step.rpartition('.')[2]!r}\n"
        "do = getattr(holder, name)\n"
        "def die(*given, **named):\n"
        "    do(*given, **named)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(holder, name, die)\n"
        "FilesystemStorageManager(sys.argv[1], sys.argv[2], sys.argv[3]).create('killed')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = [str(tmp_path / "base"), str(tmp_path / "quarantine"), OWNER]
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    manager.recover()
    found = {each.runner_name for each in manager.list_all()}
    if "killed" in found:
        with pytest.raises(CreateMetricsStorageError, match="exists already"):
            manager.create("killed")
    else:
        manager.create("killed")
    manager.delete("killed")
    with pytest.raises(GetMetricsStorageError):
        manager.get("killed")
    manager.delete("before")


def test_an_entry_that_was_unreadable_and_is_restored_in_place_has_its_name(
    manager: FilesystemStorageManager, tmp_path: Path
) -> None:
    manager.create("broken")
    (entry,) = journal(tmp_path).iterdir()
    content = entry.read_bytes()
    entry.write_bytes(b"{")
    shutil.rmtree(tmp_path / "base" / ".metrics-storage" / "names")
    manager.create("other")
    entry.write_bytes(content)
    with pytest.raises(CreateMetricsStorageError, match="exists already"):
        manager.create("broken")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPERM])
@pytest.mark.parametrize("directory", [True, False])
def test_without_room_for_an_index_everything_is_looked_through(
    manager: FilesystemStorageManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, directory: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    manager.create("before")
    monkeypatch.setattr(os, "symlink", refuse)
    if not directory:
        names = tmp_path / "base" / ".metrics-storage" / "names"
        shutil.rmtree(names)
        names.touch()
    manager.create("after")
    for name in ("before", "after"):
        assert manager.get(name).runner_name == name
        with pytest.raises(CreateMetricsStorageError, match="exists already"):
            manager.create(name)
        manager.delete(name)
    assert not list(manager.list_all())


def test_what_a_failed_call_left_is_removed_by_the_next_creation_at_any_time(
    manager: FilesystemStorageManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("left", "between"):
        manager.create(name)
    with monkeypatch.context() as patch:
        patch.setattr("metrics_storage.engine.lifecycle.directories.remove_tree", fail)
        with pytest.raises(DeleteMetricsStorageError):
            manager.delete("left")
    manager.delete("between")
    trash = tmp_path / "base" / ".metrics-storage" / "trash"
    assert list(trash.iterdir())
    manager.create("next")
    assert not list(trash.iterdir())
    assert len(list(journal(tmp_path).iterdir())) == 1


def test_a_call_that_changed_nothing_costs_the_next_one_nothing(
    manager: FilesystemStorageManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.create("there")
    with pytest.raises(CreateMetricsStorageError, match="exists already"):
        manager.create("there")
    monkeypatch.setattr(Journal, "uids", lambda _: pytest.fail("all were looked at"))
    manager.create("next")
