"""What storages on a local directory do beyond the contract: crashes, locks, rights, volumes that are not there."""

import json
import logging
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.lifecycle.directories import Directories, Place
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import InvalidSpecError, RemovalError, SettingsError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.storage import (
    CreateMetricsStorageError,
    DeleteMetricsStorageError,
    FilesystemStorageManager,
    GetMetricsStorageError,
    MetricsStorage,
    MetricsStorageError,
    QuarantineMetricsStorageError,
)
from tests.contract.suite import archives, content, names
from tests.unit.storage.local_storages import OWNER, engine_of
from tests.unit.storage.unprivileged import USER, as_user, needs_root

NOW = "2024-01-01T00:00:00Z"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


@pytest.fixture
def manager(base: Path, quarantine: Path) -> FilesystemStorageManager:
    return FilesystemStorageManager(base, quarantine, OWNER, patience=0.2)


def identity_of(storage: MetricsStorage) -> Identity:
    return Identity("local", storage.runner_name, Uid(storage.path.name.rpartition("_")[2]))


def records(base: Path) -> list[str]:
    return os.listdir(base / ".metrics-storage" / "journal")


def filled(manager: FilesystemStorageManager, name: str = "runner-0", text: str = "{not JSON") -> MetricsStorage:
    storage = manager.create(name)
    (storage.path / "metrics.json").write_text(text)
    return storage


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


def test_relative_paths_stay_where_they_were_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manager = FilesystemStorageManager("base", "quarantine", OWNER)
    monkeypatch.chdir("/")
    assert manager.create("runner-0").path.is_relative_to(tmp_path / "base")


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = FilesystemStorageManager("~/base", Path("~/archives"), OWNER).create("runner-0")
    assert made.path.is_relative_to(tmp_path / "base")


@pytest.mark.parametrize("path", ["", 5, None, "a\0b"])
def test_what_is_no_path_is_refused_by_name(tmp_path: Path, path: Any) -> None:
    with pytest.raises(SettingsError, match="base_path"):
        FilesystemStorageManager(path, tmp_path)
    with pytest.raises(SettingsError, match="quarantine_path"):
        FilesystemStorageManager(tmp_path, path)


def test_nothing_but_creating_makes_directories(manager: FilesystemStorageManager, tmp_path: Path) -> None:
    assert list(manager.list_all()) == []
    manager.recover()
    with pytest.raises(GetMetricsStorageError):
        manager.get("runner-0")
    with pytest.raises(DeleteMetricsStorageError):
        manager.delete("runner-0")
    with pytest.raises(QuarantineMetricsStorageError):
        manager.move_to_quarantine("runner-0")
    assert list(tmp_path.iterdir()) == []


def test_archives_are_for_their_owner_alone(manager: FilesystemStorageManager, quarantine: Path) -> None:
    filled(manager)
    manager.move_to_quarantine("runner-0", "3 GiB of logs")
    [archive] = archives(quarantine)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert quarantine.stat().st_mode & 0o777 == 0o700
    manifest = archive.with_name(archive.name.replace(".tar.gz", ".manifest.jsonl"))
    header = json.loads(manifest.read_text().splitlines()[0])
    assert (header["namespace"], header["name"], header["reason"]) == ("local", "runner-0", "3 GiB of logs")


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


@needs_root
def test_who_is_not_root_is_told_which_owner_works(home: Path) -> None:
    refused, left, after = as_user(
        home,
        "try: FilesystemStorageManager(base, quarantine).create('runner-0')\n"
        "except CreateMetricsStorageError as exc: print(exc)\n"
        "print(os.listdir(base), os.listdir(base / '.metrics-storage/journal'))\n"
        "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
        "(manager.create('runner-0').path / 'metrics.json').touch()\n"
        "manager.move_to_quarantine('runner-0')\n"
        "manager.create('runner-0')\n"
        "manager.delete('runner-0')\n"
        "print(list(manager.list_all()), len(os.listdir(quarantine / 'local')))\n",
    )
    assert "user 12345 may not give a directory to 1000:1000" in refused
    assert "pass the owner '12345:12345'" in refused
    assert left == "['.metrics-storage'] []"
    assert after == "[] 2"


@needs_root
def test_what_root_did_on_the_volumes_of_a_user_locks_him_out_of_nothing(home: Path) -> None:
    base, quarantine = home / "base", home / "quarantine"
    for path in (base, quarantine):
        path.mkdir()
        os.chown(path, USER, USER)
    root = FilesystemStorageManager(base, quarantine, f"{USER}:{USER}")
    for round_ in ("first", "second"):
        for runner in ("kept", "flagged", "left"):
            measured = root.create(f"{round_}-{runner}").path / "metrics.json"
            measured.touch()
            os.chown(measured, USER, USER)
        root.move_to_quarantine(f"{round_}-flagged")
        made = [path for top in (base, quarantine) for path in top.rglob("*") if not path.is_symlink()]
        foreign = {str(path) for path in made if path.stat().st_uid != USER}
        assert foreign == set()
        (left,) = as_user(
            home,
            "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
            f"manager.delete('{round_}-left')\n"
            f"manager.move_to_quarantine('{round_}-kept')\n"
            "manager.create('own')\n"
            "manager.recover()\n"
            "print(sorted(each.runner_name for each in manager.list_all()))\n"
            "manager.delete('own')\n",
        )
        assert left == "['own']"
    assert len(archives(quarantine)) == 4


@needs_root
def test_a_base_directory_that_root_made_stays_with_root_and_says_so(home: Path) -> None:
    FilesystemStorageManager(home / "base", home / "quarantine", f"{USER}:{USER}").create("runner-0")
    (told,) = as_user(
        home,
        "try: FilesystemStorageManager(base, quarantine, '12345:12345').get('runner-0')\n"
        "except GetMetricsStorageError as exc: print(exc)\n",
    )
    assert "cannot be read by user 12345" in told
    assert "as user 0, whose it is" in told


@needs_root
def test_storages_on_a_read_only_mount_can_be_listed(tmp_path: Path) -> None:
    base = tmp_path / "base"
    FilesystemStorageManager(base, tmp_path / "quarantine", OWNER).create("runner-0")
    program = (
        "import sys; from metrics_storage.storage import FilesystemStorageManager as M; "
        "m = M(sys.argv[1], sys.argv[2]); print(*[each.runner_name for each in m.list_all()], m.get('runner-0').path)"
    )
    shell = 'm=$1; shift; mount --bind "$m" "$m" && mount -o remount,bind,ro "$m" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", shell, "sh", str(base), sys.executable, "-c", program]
    done = subprocess.run(
        [*command, str(base), str(tmp_path / "quarantine")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["runner-0", str(next((base / "local").iterdir()))]


@needs_root
def test_what_cannot_be_read_completely_is_kept(home: Path) -> None:
    first, second, kept = as_user(
        home,
        "manager = FilesystemStorageManager(base, quarantine, '12345:12345')\n"
        "path = manager.create('runner-0').path / 'metrics.json'\n"
        "path.write_text('{not JSON')\n"
        "path.chmod(0)\n"
        "for attempt in 1, 2:\n"
        "    try: manager.move_to_quarantine('runner-0')\n"
        "    except QuarantineMetricsStorageError as exc: print(exc)\n"
        "print(*os.listdir(base / '.metrics-storage/frozen'))\n",
    )
    assert "its source is kept" in first
    assert "metrics.json: unreadable (EACCES)" in second
    assert (home / "base" / ".metrics-storage" / "frozen" / kept / "metrics.json").read_text() == "{not JSON"
    assert len(archives(home / "quarantine")) == 1


def test_directories_that_cannot_be_made_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manager = FilesystemStorageManager(tmp_path / "file" / "base", tmp_path / "quarantine", OWNER)
    with pytest.raises(CreateMetricsStorageError, match="Not a directory"):
        manager.create("runner-0")


# Crashes


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
    with engine_of(base, quarantine) as engine:
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


def test_records_of_clusters_are_never_touched(manager: FilesystemStorageManager, base: Path, quarantine: Path) -> None:
    manager.create("runner-0")
    foreign = Identity("runners", "runner-0", Uid("00000000-0000-4000-8000-000000000001"))
    with engine_of(base, quarantine) as engine:
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


@pytest.mark.parametrize("inside", [".", "archives", "local"])
def test_archives_never_lie_among_storages(base: Path, inside: str) -> None:
    with pytest.raises(CreateMetricsStorageError, match=r"give each a directory of its own"):
        FilesystemStorageManager(base, base / inside, OWNER).create("runner-0")
    assert not base.exists()


def test_a_umask_hides_no_storage_from_its_owner(base: Path, quarantine: Path) -> None:
    before = os.umask(0o077)
    try:
        FilesystemStorageManager(base / "deeper", quarantine, OWNER).create("runner-0")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (base, base / "deeper")} == {0o755}
    assert stat.S_IMODE((base / "deeper" / "local").stat().st_mode) == 0o711
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700


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


def test_an_unmounted_quarantine_volume_stops_everything_that_ends_a_storage(
    manager: FilesystemStorageManager, quarantine: Path, tmp_path: Path
) -> None:
    storage = filled(manager)
    quarantine.rename(tmp_path / "elsewhere")
    quarantine.mkdir()
    with pytest.raises(QuarantineMetricsStorageError, match="is it mounted"):
        manager.move_to_quarantine("runner-0")
    assert (storage.path / "metrics.json").exists()
    assert names(manager) == ["runner-0"]


def test_an_unmounted_base_directory_is_said(manager: FilesystemStorageManager, base: Path, tmp_path: Path) -> None:
    filled(manager)
    base.rename(tmp_path / "elsewhere")
    base.mkdir()
    for call in (manager.get, manager.delete, manager.move_to_quarantine):
        with pytest.raises(MetricsStorageError, match="is it mounted"):
            call("runner-0")


def test_a_directory_with_other_things_is_not_taken(manager: FilesystemStorageManager, base: Path) -> None:
    base.mkdir()
    (base / "somebody's").touch()
    with pytest.raises(CreateMetricsStorageError, match="and only an empty directory is made a new volume"):
        manager.create("runner-0")
    with pytest.raises(GetMetricsStorageError, match=r"has no marker"):
        manager.list_all()


def test_one_directory_cannot_be_for_storages_and_archives(base: Path) -> None:
    manager = FilesystemStorageManager(base, base, OWNER)
    with pytest.raises(CreateMetricsStorageError, match="expected a quarantine volume"):
        manager.create("runner-0")


# Several at a time


def test_a_call_waits_for_another_one_and_then_says_who_it_is(
    manager: FilesystemStorageManager, base: Path, quarantine: Path
) -> None:
    manager.create("runner-0")
    with engine_of(base, quarantine):
        with pytest.raises(DeleteMetricsStorageError, match=rf"in use by pid {os.getpid()} .* waited 0.2 s"):
            manager.delete("runner-0")
        assert names(manager) == ["runner-0"]
        assert manager.get("runner-0").runner_name == "runner-0"
    manager.delete("runner-0")


def test_a_call_goes_on_when_the_other_one_ends(base: Path, quarantine: Path) -> None:
    manager = FilesystemStorageManager(base, quarantine, OWNER, patience=30)
    manager.create("runner-0")
    with engine_of(base, quarantine):
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


def test_names_that_begin_alike_and_names_that_are_cut_are_told_apart(manager: FilesystemStorageManager) -> None:
    every = ["r", "r-1", "r-10", "a" * 250, "a" * 251]
    for name in every:
        filled(manager, name, text=name)
    for name in every:
        assert (manager.get(name).path / "metrics.json").read_text() == name
        manager.delete(name)
        assert name not in names(manager)
