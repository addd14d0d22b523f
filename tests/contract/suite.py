"""What every storage manager promises, whatever stands behind it.

A tier subclasses `StorageManagerContract` and gives the fixtures `manager` and `quarantine_root`; storages must be
directories that the test can reach at their `path`.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage import storage
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    GetMetricsStorageError,
    MetricsStorage,
    QuarantineMetricsStorageError,
    StorageManager,
)

BAD_NAMES = {
    "empty": "",
    "current-directory": ".",
    "parent-directory": "..",
    "traversal": "../runner-0",
    "absolute": "/runner-0",
    "slash": "runner/0",
    "upper-case": "Runner-0",
    "underscore": "runner_0",
    "space": "runner 0",
    "newline": "runner-0\n",
    "percent-encoded": "runner%2f0",
    "dash-first": "-runner",
    "dot-last": "runner.",
    "not-ascii": "läufer",
    "too-long": "r" * 254,
}
bad_names = pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())


def archives(root: Path) -> list[Path]:
    """The committed archives on a quarantine volume."""
    return sorted(path for path in root.glob("*/*.tar.gz") if not path.parent.name.startswith("."))


def content(archive: Path) -> dict[str, bytes | str | None]:
    """Content of files, targets of links and None for directories, by path in the archive."""
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r:gz") as tar:
        found: dict[str, bytes | str | None] = {}
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            found[member.name] = file.read() if file else member.linkname if member.issym() else None
        return found


def names(manager: StorageManager) -> list[str]:
    """The runners of which a manager lists storages."""
    return sorted(found.runner_name for found in manager.list_all())


class StorageManagerContract:
    """Tests of one manager; a test starts without any storage."""

    @pytest.fixture
    def manager(self) -> StorageManager:
        """The manager under test, without storages."""
        raise NotImplementedError

    @pytest.fixture
    def quarantine_root(self) -> Path:
        """Where its archives go. Other tests may have left some."""
        raise NotImplementedError

    @pytest.fixture
    def new_archives(self, quarantine_root: Path) -> "Archives":
        """The archives that this test makes."""
        return Archives(quarantine_root)

    def test_a_created_storage_is_an_empty_directory_of_the_runner(self, manager: StorageManager) -> None:
        created = manager.create("runner-0")
        assert isinstance(created, MetricsStorage)
        assert created.runner_name == "runner-0"
        assert created.path.is_absolute()
        assert list(created.path.iterdir()) == []

    def test_a_storage_is_made_only_once(self, manager: StorageManager) -> None:
        created = manager.create("runner-0")
        (created.path / "metrics.json").write_text("{}")
        with pytest.raises(CreateMetricsStorageError, match=r"'runner-0' exists already"):
            manager.create("runner-0")
        assert (created.path / "metrics.json").read_text() == "{}"
        assert manager.get("runner-0") == created

    def test_a_created_storage_can_be_got(self, manager: StorageManager) -> None:
        created = manager.create("runner-0")
        manager.create("runner-1")
        assert manager.get("runner-0") == created

    def test_an_unknown_storage_cannot_be_got(self, manager: StorageManager) -> None:
        manager.create("runner-0")
        with pytest.raises(GetMetricsStorageError, match=r"'runner-1' does not exist"):
            manager.get("runner-1")

    def test_nothing_is_listed_where_nothing_was_created(self, manager: StorageManager) -> None:
        assert list(manager.list_all()) == []

    def test_all_storages_are_listed_by_an_iterator(self, manager: StorageManager) -> None:
        created = [manager.create(f"runner-{number}") for number in range(3)]
        listed = manager.list_all()
        assert isinstance(listed, Iterator)
        assert sorted(listed, key=lambda found: found.runner_name) == created

    def test_a_deleted_storage_is_gone(self, manager: StorageManager) -> None:
        created = manager.create("runner-0")
        (created.path / "logs").mkdir()
        (created.path / "logs" / "job.log").write_text("line\n")
        manager.delete("runner-0")
        assert not created.path.exists()
        assert names(manager) == []
        with pytest.raises(GetMetricsStorageError):
            manager.get("runner-0")

    def test_deleting_leaves_storages_of_similar_names_alone(self, manager: StorageManager) -> None:
        for name in ("runner", "runner-1", "runner-10", "runner-1.0"):
            (manager.create(name).path / "metrics.json").write_text(name)
        manager.delete("runner-1")
        assert names(manager) == ["runner", "runner-1.0", "runner-10"]
        for found in manager.list_all():
            assert (found.path / "metrics.json").read_text() == found.runner_name

    def test_an_unknown_storage_cannot_be_deleted(self, manager: StorageManager) -> None:
        with pytest.raises(DeleteMetricsStorageError, match=r"'runner-0' does not exist"):
            manager.delete("runner-0")

    def test_a_storage_cannot_be_deleted_twice(self, manager: StorageManager) -> None:
        manager.create("runner-0")
        manager.delete("runner-0")
        with pytest.raises(DeleteMetricsStorageError):
            manager.delete("runner-0")

    def test_a_name_can_be_used_again_and_begins_empty(self, manager: StorageManager) -> None:
        first = manager.create("runner-0")
        (first.path / "metrics.json").write_text("{}")
        manager.delete("runner-0")
        second = manager.create("runner-0")
        assert second.path != first.path
        assert list(second.path.iterdir()) == []

    def test_a_quarantined_storage_is_archived_and_gone(
        self, manager: StorageManager, new_archives: "Archives"
    ) -> None:
        created = manager.create("runner-0")
        (created.path / "logs").mkdir()
        (created.path / "logs" / "job.log").write_text("line\n")
        (created.path / "metrics.json").write_text("{not JSON")
        storage.move_to_quarantine(manager, "runner-0")
        [archive] = new_archives.found
        assert content(archive) == {
            "runner-0": None,
            "runner-0/logs": None,
            "runner-0/logs/job.log": b"line\n",
            "runner-0/metrics.json": b"{not JSON",
        }
        assert not created.path.exists()
        assert names(manager) == []
        with pytest.raises(GetMetricsStorageError):
            manager.get("runner-0")

    def test_an_unknown_storage_cannot_be_quarantined(self, manager: StorageManager, new_archives: "Archives") -> None:
        manager.create("runner-1")
        with pytest.raises(QuarantineMetricsStorageError, match="runner-0"):
            storage.move_to_quarantine(manager, "runner-0")
        assert new_archives.found == []
        assert names(manager) == ["runner-1"]

    def test_a_storage_cannot_be_quarantined_twice(self, manager: StorageManager, new_archives: "Archives") -> None:
        manager.create("runner-0")
        storage.move_to_quarantine(manager, "runner-0")
        with pytest.raises(QuarantineMetricsStorageError):
            storage.move_to_quarantine(manager, "runner-0")
        assert len(new_archives.found) == 1

    def test_runners_of_one_name_leave_an_archive_each(self, manager: StorageManager, new_archives: "Archives") -> None:
        (manager.create("runner-0").path / "metrics.json").write_text("first")
        storage.move_to_quarantine(manager, "runner-0")
        [first] = new_archives.found
        before = first.read_bytes()
        (manager.create("runner-0").path / "metrics.json").write_text("second")
        storage.move_to_quarantine(manager, "runner-0")
        assert first.read_bytes() == before
        assert sorted(str(content(path)["runner-0/metrics.json"]) for path in new_archives.found) == [
            "b'first'",
            "b'second'",
        ]

    def test_names_that_differ_after_a_dot_share_no_archive(
        self, manager: StorageManager, new_archives: "Archives"
    ) -> None:
        for name in ("runner.1", "runner.2"):
            (manager.create(name).path / "metrics.json").write_text(name)
            storage.move_to_quarantine(manager, name)
        found: dict[str, bytes | str | None] = {}
        for archive in new_archives.found:
            found |= content(archive)
        assert found["runner.1/metrics.json"] == b"runner.1"
        assert found["runner.2/metrics.json"] == b"runner.2"

    def test_what_a_link_points_at_is_neither_archived_nor_removed(
        self, manager: StorageManager, new_archives: "Archives", tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("secret")
        created = manager.create("runner-0")
        (created.path / "link").symlink_to(secret)
        storage.move_to_quarantine(manager, "runner-0")
        [archive] = new_archives.found
        assert content(archive) == {"runner-0": None, "runner-0/link": str(secret)}
        assert secret.read_text() == "secret"

    @bad_names
    def test_a_bad_name_is_refused(self, manager: StorageManager, new_archives: "Archives", name: str) -> None:
        with pytest.raises(CreateMetricsStorageError):
            manager.create(name)
        with pytest.raises(GetMetricsStorageError):
            manager.get(name)
        with pytest.raises(DeleteMetricsStorageError):
            manager.delete(name)
        with pytest.raises(QuarantineMetricsStorageError):
            storage.move_to_quarantine(manager, name)
        assert names(manager) == []
        assert new_archives.found == []


class Archives:
    """The archives of a quarantine volume that were not there at the beginning."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before = set(archives(root))

    @property
    def found(self) -> list[Path]:
        """The new ones, in order of their names."""
        return [path for path in archives(self._root) if path not in self._before]
