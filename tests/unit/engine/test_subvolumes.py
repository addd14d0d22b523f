"""Subvolumes of btrfs that a runner makes in its directory: archived and removed like all that is in it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.engine.archives.format import scan
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.engine.fs.walk import Visit
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import RemovalError, UncleanArchiveError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.loops import mounted

IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
RUNNER = 1000
_COARSE = 5
"""CLOCK_REALTIME_COARSE, from which the kernel takes the times of files."""
AS_RUNNER = ["setpriv", "--reuid", str(RUNNER), "--regid", str(RUNNER), "--clear-groups"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[StorageEngine]:
    """An engine whose storage volume is a btrfs of its own."""
    (tmp_path / "quarantine").mkdir()
    with (
        mounted("btrfs") as root,
        Volume(root, Role.STORAGE, initialise=True) as storage,
        Volume(tmp_path / "quarantine", Role.QUARANTINE, initialise=True) as quarantine,
    ):
        storage.lock()
        engine = StorageEngine(storage, LocalVault(quarantine))
        engine.ensure(IDENTITY, StorageSpec(owner=f"{RUNNER}:{RUNNER}"))
        yield engine


def live(engine: StorageEngine) -> Path:
    return engine.storage.path / IDENTITY.namespace / IDENTITY.directory_name


def run_as_runner(*command: str | Path) -> None:
    subprocess.run([*AS_RUNNER, *command], check=True, capture_output=True)


def subvolume(path: Path) -> None:
    run_as_runner("btrfs", "subvolume", "create", path)


def snapshot(source: Path, path: Path, *options: str) -> None:
    run_as_runner("btrfs", "subvolume", "snapshot", *options, source, path)


def write(path: Path, text: str) -> None:
    run_as_runner("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path)


def fill(directory: Path) -> None:
    """Subvolumes in each other, snapshots of them that can and cannot be written, and hard links in each."""
    subvolume(directory / "cache")
    write(directory / "cache" / "evidence", "one")
    os.link(directory / "cache" / "evidence", directory / "cache" / "link")
    subvolume(directory / "cache" / "inner")
    write(directory / "cache" / "inner" / "evidence", "two")
    snapshot(directory / "cache", directory / "copy")
    write(directory / "copy" / "evidence", "three")
    snapshot(directory / "cache" / "inner", directory / "kept", "-r")
    snapshot(directory / "cache", directory / "kept-too", "-r")


def extracted(tmp_path: Path) -> Path:
    (archive,) = tmp_path.glob("quarantine/*/*.tar.gz")
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path / "out"], check=True)
    return tmp_path / "out" / IDENTITY.name


def remove_frozen(engine: StorageEngine) -> None:
    frozen = engine.storage.path / ".metrics-storage" / "frozen"
    fd = os.open(frozen, os.O_RDONLY)
    try:
        remove_tree(fd, IDENTITY.uid.encode(), inode=(frozen / IDENTITY.uid).stat().st_ino)
    finally:
        os.close(fd)


def test_what_is_in_subvolumes_is_in_the_archive_and_then_gone(engine: StorageEngine, tmp_path: Path) -> None:
    fill(live(engine))
    engine.latch(IDENTITY, "x", "2026-01-01T00:00:00Z")
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED
    assert engine.remove(IDENTITY).phase is Phase.GONE
    root = extracted(tmp_path)
    texts = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    assert texts == {
        "cache/evidence": "one",
        "cache/inner/evidence": "two",
        "cache/link": "one",
        "copy/evidence": "three",
        "copy/link": "three",
        "kept/evidence": "two",
        "kept-too/evidence": "one",
        "kept-too/link": "one",
    }
    left = subprocess.run(["btrfs", "subvolume", "list", engine.storage.path], check=True, capture_output=True)
    assert left.stdout == b""


def test_where_another_subvolume_was_has_no_time_that_could_change(
    engine: StorageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(live(engine))
    engine.latch(IDENTITY, "x", "2026-01-01T00:00:00Z")
    real = scan._modified

    def later(visit: Visit) -> int | None:
        # The kernel looks it up anew, and the clock that it takes times from has gone on since it was entered.
        began = time.clock_gettime_ns(_COARSE)
        while time.clock_gettime_ns(_COARSE) == began:
            pass
        return real(visit)

    monkeypatch.setattr(scan, "_modified", later)
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED


def test_usage_counts_what_is_in_subvolumes(engine: StorageEngine) -> None:
    fill(live(engine))
    usage = engine.measure(IDENTITY)
    assert usage is not None
    assert usage.files == 8


def test_subvolumes_are_removed_with_no_more_rights_than_the_operator_has(engine: StorageEngine) -> None:
    fill(live(engine))
    engine.condemn(IDENTITY)
    trash = engine.storage.path / ".metrics-storage" / "trash"
    inode = (trash / IDENTITY.uid).stat().st_ino
    program = (
        "import os, sys; from metrics_storage.engine.fs.remove import remove_tree; "
        "remove_tree(os.open(sys.argv[1], os.O_RDONLY), os.fsencode(sys.argv[2]), inode=int(sys.argv[3]))"
    )
    subprocess.run(
        [
            *("setpriv", "--bounding-set", "-all,+chown,+dac_override,+fowner,+fsetid"),
            *(sys.executable, "-c", program, trash, IDENTITY.uid, str(inode)),
        ],
        check=True,
    )
    assert list(trash.iterdir()) == []


def test_a_mount_in_a_subvolume_is_neither_archived_nor_removed_through(engine: StorageEngine, tmp_path: Path) -> None:
    outside = engine.storage.path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("outside")
    subvolume(live(engine) / "cache")
    inside = live(engine) / "cache" / "mount"
    inside.mkdir()
    subprocess.run(["mount", "--bind", outside, inside], check=True)
    try:
        engine.latch(IDENTITY, "x", "2026-01-01T00:00:00Z")
        with pytest.raises(UncleanArchiveError, match="cache/mount: other-mount"):
            engine.archive(IDENTITY)
        with pytest.raises(RemovalError):
            remove_frozen(engine)
    finally:
        frozen = engine.storage.path / ".metrics-storage" / "frozen" / IDENTITY.uid
        subprocess.run(["umount", frozen / "cache" / "mount"], check=True)
    assert (outside / "secret").read_text() == "outside"
    assert not list(extracted(tmp_path).rglob("secret"))


def test_a_snapshot_of_the_volume_itself_gets_into_no_archive(engine: StorageEngine, tmp_path: Path) -> None:
    (engine.storage.path / "neighbour").write_text("somebody else's")
    subprocess.run(
        ["btrfs", "subvolume", "snapshot", engine.storage.path, live(engine) / "all"], check=True, capture_output=True
    )
    engine.latch(IDENTITY, "x", "2026-01-01T00:00:00Z")
    with pytest.raises(UncleanArchiveError, match="all: other-mount"):
        engine.archive(IDENTITY)
    assert not list(extracted(tmp_path).rglob("neighbour"))
    # What is removed from it are copies.
    remove_frozen(engine)
    assert (engine.storage.path / "neighbour").read_text() == "somebody else's"
