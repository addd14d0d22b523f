"""Moves that a file system refuses although both sides are on it: made possible, or told with what to do."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metrics_storage.engine.lifecycle.directories import Place
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.errors import RemovalError, VolumeError
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.engines import engine_below
from tests.unit.engine.loops import mounted

SPEC = StorageSpec(owner="0:0")
IDENTITY = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
OTHER = Identity("runners", "runner-1", Uid("1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
_INTO_TRASH = (Place.LIVE, Place.TRASH)
NOW = "2026-01-01T00:00:00Z"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


def live(engine: StorageEngine, identity: Identity) -> Path:
    return engine.storage.path / identity.namespace / identity.directory_name


def set_project(path: Path, project: int) -> None:
    """Put a directory into a project, and have it hand that down."""
    subprocess.run(["chattr", "-p", str(project), "+P", path], check=True)


@contextmanager
def covered(kind: str, options: str, path: Path) -> Iterator[None]:
    """Something mounted on a directory."""
    if subprocess.run(["mount", "-t", kind, "-o", options, "none", path], capture_output=True, check=False).returncode:
        pytest.skip(f"no {kind} can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def flags(path: Path) -> str:
    """What lsattr says of a directory itself."""
    done = subprocess.run(["lsattr", "-d", path], check=True, capture_output=True, text=True)
    return done.stdout.split()[0]


def test_a_runner_that_changes_its_project_dodges_neither_quarantine_nor_deletion() -> None:
    with mounted("xfs") as root:
        for number, name in enumerate(("storage", "quarantine"), 100):
            (root / name).mkdir()
            set_project(root / name, number)
        with engine_below(root) as engine:
            for number, identity in enumerate((IDENTITY, OTHER), 1000):
                engine.ensure(identity, SPEC)
                set_project(live(engine, identity), number)
            engine.latch(IDENTITY, "bad", NOW)
            assert engine.archive(IDENTITY).phase is Phase.VERIFIED
            assert engine.remove(IDENTITY).phase is Phase.GONE
            assert engine.remove(OTHER).phase is Phase.GONE


def test_volumes_that_were_made_before_their_root_had_a_project_are_mended() -> None:
    with mounted("xfs") as root:
        with engine_below(root) as engine:
            engine.ensure(IDENTITY, SPEC)
        for path in sorted((root / "storage").rglob("*"), reverse=True):
            if path.is_dir():
                set_project(path, 1000 if path.name.startswith("runner-0") else 100)
        private = root / "storage" / ".metrics-storage"
        assert "P" in flags(private / "trash")
        with engine_below(root) as engine:
            for path in (private, private / "trash", private / "frozen"):
                assert "P" not in flags(path)
            assert engine.remove(IDENTITY).phase is Phase.GONE


def test_what_comes_back_from_the_trash_takes_over_the_project_of_where_it_lived() -> None:
    with mounted("xfs") as root, engine_below(root) as engine:
        engine.ensure(IDENTITY, SPEC)
        engine._directories.move(IDENTITY, *_INTO_TRASH)
        set_project(engine.storage.path, 100)
        assert engine.retain(IDENTITY).phase is Phase.RETAINED
        assert live(engine, IDENTITY).is_dir()


@needs_root
def test_a_directory_in_the_lower_layer_of_an_overlay_stalls_with_what_to_do(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    with engine_below(tmp_path / "lower") as engine:
        engine.ensure(IDENTITY, SPEC)
    options = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    with covered("overlay", options, tmp_path / "merged"), engine_below(tmp_path / "merged") as engine:
        engine.latch(IDENTITY, "bad", NOW)
        for step in (engine.archive, lambda identity: engine._directories.move(identity, *_INTO_TRASH)):
            with pytest.raises(VolumeError, match="use the file system below it as the volume") as caught:
                step(IDENTITY)
        assert explain(caught.value).stalled
        assert live(engine, IDENTITY).is_dir()


@needs_root
def test_a_mount_on_a_directory_stalls_with_what_to_do_and_goes_on_without_it(tmp_path: Path) -> None:
    with engine_below(tmp_path) as engine:
        engine.ensure(IDENTITY, SPEC)
        (live(engine, IDENTITY) / "evidence").touch()
        engine.latch(IDENTITY, "bad", NOW)
        with covered("tmpfs", "size=1m", live(engine, IDENTITY)):
            for step in (engine.measure, engine.archive, engine.snapshot):
                with pytest.raises(VolumeError, match=r"has something mounted on it.*unmount it \(umount ") as caught:
                    step(IDENTITY)
            assert explain(caught.value).stalled
        assert engine.archive(IDENTITY).phase is Phase.VERIFIED


@pytest.mark.parametrize("flag", ["i", "a"])
def test_a_flag_on_the_directory_blocks_its_removal_with_what_to_do(flag: str) -> None:
    with mounted("ext4") as root, engine_below(root) as engine:
        engine.ensure(IDENTITY, SPEC)
        path = live(engine, IDENTITY)
        subprocess.run(["chattr", f"+{flag}", path], check=True)
        with pytest.raises(RemovalError, match="chattr -i -a"):
            engine.remove(IDENTITY)
        subprocess.run(["chattr", f"-{flag}", path], check=True)
        assert engine.remove(IDENTITY).phase is Phase.GONE
