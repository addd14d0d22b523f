"""The module itself: where its directories are, what it imports, and how it quarantines for other managers."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from metrics_storage import storage
from metrics_storage.storage import (
    CreateMetricsStorageError,
    GetMetricsStorageError,
    MetricsStorage,
    QuarantineMetricsStorageError,
    StorageManager,
)
from tests.contract.suite import archives, content
from tests.unit.storage.local_storages import OWNER
from tests.unit.storage.unprivileged import as_user, needs_root

_ROOT = Path(__file__).parents[3]


class ForeignError(Exception):
    """An error of somebody else's package."""


class ForeignManager:
    """A manager of somebody else, with nothing but the four functions, on directories of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.deletes = True

    def create(self, runner_name: str) -> MetricsStorage:
        path = self._root / runner_name
        path.mkdir(parents=True)
        return MetricsStorage(path, runner_name)

    def list_all(self) -> Iterator[MetricsStorage]:
        return (MetricsStorage(path, path.name) for path in self._root.iterdir())

    def get(self, runner_name: str) -> MetricsStorage:
        path = self._root / runner_name
        if not path.exists():
            raise ForeignError(f"no {runner_name} here")
        return MetricsStorage(path, runner_name)

    def delete(self, runner_name: str) -> None:
        if not self.deletes:
            raise ForeignError("busy")
        for path in (self._root / runner_name).iterdir():
            path.unlink()
        (self._root / runner_name).rmdir()


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


@pytest.fixture
def foreign(tmp_path: Path) -> ForeignManager:
    return ForeignManager(tmp_path / "foreign")


# What is imported


def test_importing_the_library_imports_neither_kubernetes_nor_kopf() -> None:
    program = "import sys, metrics_storage.storage; print(sorted({'kubernetes', 'kopf', 'aiohttp'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []


def test_the_manager_for_clusters_is_imported_on_first_use() -> None:
    assert storage.KubernetesStorageManager.__name__ == "KubernetesStorageManager"
    assert set(storage.__all__) >= {"FILESYSTEM_OWNER", "MetricsStorage", "StorageManager", "move_to_quarantine"}


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from metrics_storage.storage import nothing")  # noqa: S102


def test_a_type_checker_knows_every_name_and_no_other(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"from metrics_storage.storage import {', '.join(storage.__all__)}, Typo\n")
    check = [sys.executable, "-m", "mypy", "--strict", str(program)]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd=_ROOT)
    assert 'Module "metrics_storage.storage" has no attribute "Typo"' in done.stdout
    assert "Found 1 error" in done.stdout


# Where the directories are


def test_paths_and_owner_can_be_arguments(tmp_path: Path, quarantine: Path) -> None:
    base = tmp_path / "base"
    created = storage.create("runner-0", base_path=base, quarantine_path=quarantine, owner=OWNER)
    assert created.path.is_relative_to(base)
    assert storage.get("runner-0", base_path=base) == created
    assert list(storage.list_all(base_path=str(base))) == [created]
    storage.move_to_quarantine(storage, "runner-0", base_path=base, quarantine_path=quarantine)
    assert len(archives(quarantine)) == 1
    storage.create("runner-0", base_path=base, quarantine_path=quarantine, owner=OWNER)
    storage.delete("runner-0", base_path=base, quarantine_path=quarantine)
    assert list(storage.list_all(base_path=base)) == []


def test_an_argument_wins_over_the_environment(
    tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", str(tmp_path / "environment"))
    monkeypatch.setenv("METRICS_STORAGE_OWNER", "nobody-of-that-name:1000")
    base = tmp_path / "argument"
    storage.create("runner-0", base_path=base, quarantine_path=quarantine, owner=OWNER)
    assert not (tmp_path / "environment").exists()


def test_the_variables_are_not_those_of_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_STORAGE_STORAGE_ROOT", str(tmp_path / "operator"))
    monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", str(tmp_path / "base"))
    assert list(storage.list_all()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_owner_is_an_error_of_creation(tmp_path: Path, quarantine: Path) -> None:
    with pytest.raises(CreateMetricsStorageError, match="is not user:group"):
        storage.create("runner-0", base_path=tmp_path / "base", quarantine_path=quarantine, owner="ubuntu")


# Quarantine for other managers


def test_the_module_is_a_manager_for_itself_without_end(
    tmp_path: Path, quarantine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", str(tmp_path / "base"))
    monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_PATH", str(quarantine))
    monkeypatch.setenv("METRICS_STORAGE_OWNER", OWNER)
    managers: list[StorageManager] = [
        storage,
        SimpleNamespace(**{name: getattr(storage, name) for name in ("create", "list_all", "get", "delete")}),
    ]
    for manager in managers:
        storage.create("runner-0")
        storage.move_to_quarantine(manager, "runner-0")
    assert len(archives(quarantine)) == 2
    assert list(storage.list_all()) == []


def test_a_manager_quarantines_by_its_own_method_where_it_has_one(foreign: ForeignManager, quarantine: Path) -> None:
    asked: list[str] = []
    foreign.move_to_quarantine = asked.append  # type: ignore[attr-defined]
    storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    assert asked == ["runner-0"]
    assert not quarantine.exists()


def test_the_function_of_another_module_is_not_taken_for_a_method(foreign: ForeignManager, quarantine: Path) -> None:
    module = ModuleType("somebody_elses_storage")
    for name in ("create", "list_all", "get", "delete"):
        setattr(module, name, getattr(foreign, name))
    module.move_to_quarantine = storage.move_to_quarantine  # type: ignore[attr-defined]
    (foreign.create("runner-0").path / "metrics.json").write_text("{not JSON")
    storage.move_to_quarantine(module, "runner-0", quarantine_path=quarantine)
    [archive] = archives(quarantine)
    assert content(archive)["runner-0/metrics.json"] == b"{not JSON"
    assert list(foreign.list_all()) == []


def test_an_error_of_another_manager_becomes_one_of_ours(foreign: ForeignManager, quarantine: Path) -> None:
    with pytest.raises(QuarantineMetricsStorageError, match="no runner-0 here") as caught:
        storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    assert isinstance(caught.value.__cause__, ForeignError)


def test_a_directory_that_its_manager_does_not_delete_gets_another_archive(
    foreign: ForeignManager, quarantine: Path
) -> None:
    (foreign.create("runner-0").path / "metrics.json").write_text("{not JSON")
    foreign.deletes = False
    with pytest.raises(QuarantineMetricsStorageError, match=r"is archived below .* but was not deleted: busy"):
        storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    [first] = archives(quarantine)
    before = first.read_bytes()
    foreign.deletes = True
    storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    assert len(archives(quarantine)) == 2
    assert first.read_bytes() == before


def test_a_directory_that_cannot_be_archived_is_kept(foreign: ForeignManager, quarantine: Path) -> None:
    created = foreign.create("runner-0")
    quarantine.mkdir()
    (quarantine / "somebody's").touch()
    with pytest.raises(QuarantineMetricsStorageError, match="Is it the right one"):
        storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    assert created.path.is_dir()


def test_a_link_is_not_archived_as_a_directory(foreign: ForeignManager, quarantine: Path, tmp_path: Path) -> None:
    foreign.create("other")
    (tmp_path / "foreign" / "runner-0").symlink_to("other")
    with pytest.raises(QuarantineMetricsStorageError, match="runner-0"):
        storage.move_to_quarantine(foreign, "runner-0", quarantine_path=quarantine)
    assert archives(quarantine) == []


def test_a_directory_that_was_replaced_meanwhile_is_kept(
    foreign: ForeignManager, quarantine: Path, tmp_path: Path
) -> None:
    """The path leads through a link that is turned elsewhere while the quarantine volume is being opened."""
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        (root / "runner-0").mkdir(parents=True)
    (tmp_path / "foreign").symlink_to(first)

    class Turning(type(quarantine)):  # type: ignore[misc]
        def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
            (tmp_path / "foreign").unlink()
            (tmp_path / "foreign").symlink_to(second)
            super().mkdir(mode, parents, exist_ok)

    from metrics_storage.errors import ArchiveError
    from metrics_storage.storage.other_managers import archive_directory

    with pytest.raises(ArchiveError, match="is not the directory any more that was archived"):
        archive_directory(tmp_path / "foreign" / "runner-0", "runner-0", Turning(quarantine))
    assert (second / "runner-0").is_dir()


@needs_root
def test_a_directory_that_cannot_be_read_completely_is_kept(home: Path) -> None:
    first, kept = as_user(
        home,
        "class Foreign:\n"
        "    create = list_all = None\n"
        "    def get(self, name): return MetricsStorage(base / name, name)\n"
        "    def delete(self, name): print('deleted!')\n"
        "(base / 'runner-0').mkdir(parents=True)\n"
        "(base / 'runner-0' / 'metrics.json').touch(0)\n"
        "try: storage.move_to_quarantine(Foreign(), 'runner-0', quarantine_path=quarantine)\n"
        "except QuarantineMetricsStorageError as exc: print(exc)\n"
        "print(*os.listdir(base / 'runner-0'))\n",
    )
    assert "is incomplete. Both are kept" in first
    assert kept == "metrics.json"
    assert len(archives(home / "quarantine")) == 1


def test_get_raises_the_error_of_the_contract_for_a_broken_base(tmp_path: Path) -> None:
    (tmp_path / "base").touch()
    with pytest.raises(GetMetricsStorageError, match="Not a directory"):
        storage.get("runner-0", base_path=tmp_path / "base")


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = storage.create("runner-0", base_path="~/base", quarantine_path="~/archives", owner=OWNER)
    assert made.path.is_relative_to(tmp_path / "base")
    monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", "~/base")
    assert [each.runner_name for each in storage.list_all()] == ["runner-0"]
    monkeypatch.setenv("METRICS_STORAGE_BASE_PATH", "base")
    with pytest.raises(
        storage.GetMetricsStorageError, match="METRICS_STORAGE_BASE_PATH 'base' is not an absolute path"
    ):
        storage.list_all()


def test_the_module_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {"base_path": tmp_path / "base", "quarantine_path": tmp_path / "archives"}
    storage.recover(**paths)
    made = storage.create("runner-0", **paths, owner=OWNER)
    made.path.rename(tmp_path / "moved")
    with pytest.raises(storage.MetricsStorageError, match="somebody removed the directories of 'runner-0'"):
        storage.recover(**paths)


class Odd:
    """A manager that knows nothing of the errors of the contract."""

    def get(self, _runner_name: str) -> Any:
        raise KeyError("runner-0")

    def delete(self, _runner_name: str) -> None:
        raise SystemError


def test_whatever_another_manager_raises_becomes_the_declared_error(quarantine: Path) -> None:
    with pytest.raises(storage.QuarantineMetricsStorageError, match="was not found: 'runner-0'"):
        storage.move_to_quarantine(cast("Any", Odd()), "runner-0", quarantine_path=quarantine)
    assert not quarantine.exists()
