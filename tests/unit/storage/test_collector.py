"""The way of working of a collector of metrics: list, read, delete the good, quarantine the bad, run again.

Whatever became of single storages, all others are handled, and the next run goes on with what failed.
"""

import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from metrics_storage.errors import MetricsStorageError
from metrics_storage.storage import FilesystemStorageManager
from tests.contract.suite import archives
from tests.unit.engine.loops import mounted

OWNER = f"{os.getuid()}:{os.getgid()}"
FILES = ("pre-job-metrics.json", "post-job-metrics.json", "runner-installed.json")
GOOD = [f"good-{number}" for number in range(5)]
BAD = [f"bad-{number}" for number in range(3)]


@pytest.fixture
def root() -> Iterator[Path]:
    """A file system of its own, with which everything goes that is mounted or set on it."""
    with mounted("ext4") as root:
        yield root


@pytest.fixture
def manager(root: Path) -> FilesystemStorageManager:
    """Storages of runners that wrote well, and of some that did not."""
    manager = FilesystemStorageManager(root / "base", root / "quarantine", OWNER)
    for name in (*GOOD, *BAD, "odd"):
        path = manager.create(name).path
        for file in FILES:
            (path / file).write_text("{" if name in BAD else "{}")
    return manager


def collect(manager: FilesystemStorageManager) -> dict[str, str]:
    """One run; what failed, and why."""
    failures = {}
    for storage in manager.list_all():
        try:
            try:
                for file in FILES:
                    json.loads((storage.path / file).read_text())
            except (ValueError, OSError):
                manager.move_to_quarantine(storage.runner_name)
            else:
                manager.delete(storage.runner_name)
        except MetricsStorageError as exc:
            failures[storage.runner_name] = str(exc)
    return failures


@contextmanager
def mounted_over(path: Path, _base: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@contextmanager
def immutable(path: Path, _base: Path) -> Iterator[None]:
    subprocess.run(["chattr", "+i", path], check=True)
    yield
    subprocess.run(["chattr", "-i", path], check=True)


@contextmanager
def replaced(path: Path, _base: Path) -> Iterator[None]:
    """Another directory in its place."""
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    yield
    path.rmdir()
    aside.rename(path)


@contextmanager
def linked(path: Path, _base: Path) -> Iterator[None]:
    """A symbolic link in its place, which leads to it."""
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)
    yield
    path.unlink()
    aside.rename(path)


@contextmanager
def unreadable_entry(path: Path, base: Path) -> Iterator[None]:
    entry = base / ".metrics-storage" / "journal" / f"{path.name[-36:]}.json"
    content = entry.read_bytes()
    entry.write_bytes(b"{")
    yield
    entry.write_bytes(content)


@contextmanager
def removed(path: Path, _base: Path) -> Iterator[None]:
    """Somebody removed the directory, and puts it back."""
    aside = path.parents[2] / "aside"
    path.rename(aside)
    yield
    path.parent.mkdir(mode=0o711, exist_ok=True)
    aside.rename(path)


@pytest.mark.parametrize("breaking", [mounted_over, immutable, replaced, linked, unreadable_entry, removed])
def test_one_broken_storage_holds_up_no_other(
    manager: FilesystemStorageManager, root: Path, breaking: Callable[[Path, Path], AbstractContextManager[None]]
) -> None:
    base = root / "base"
    path = manager.get("odd").path
    with breaking(path, base):
        for _ in range(2):
            assert set(collect(manager)) <= {"odd"}
            assert not {storage.runner_name for storage in manager.list_all()} - {"odd"}
        manager.create("next")
        manager.delete("next")
    assert collect(manager) == {}
    assert list(manager.list_all()) == []
    assert not [name for name in os.listdir(base) if name != ".metrics-storage"]
    found = sorted(archive.name.partition("_")[0] for archive in archives(root / "quarantine"))
    assert [name for name in found if name != "odd"] == BAD
    for archive in archives(root / "quarantine"):
        with tarfile.open(archive) as content:
            assert {name.rpartition("/")[2] for name in content.getnames()} >= set(FILES)


def test_a_run_that_was_cut_short_is_finished_by_the_next(
    manager: FilesystemStorageManager, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("metrics_storage.engine.archives.local_vault.verify_archive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collect(manager)
    assert collect(manager) == {}
    assert list(manager.list_all()) == []
    assert sorted(archive.name.partition("_")[0] for archive in archives(root / "quarantine")) == BAD
