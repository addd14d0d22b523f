"""Engines that move things over others, in another order, or say in the journal what is not done yet."""

import os
import shutil
from collections.abc import Callable
from typing import Any, Final

from metrics_storage.engine.archives.local_vault import LocalDraft
from metrics_storage.engine.fs import durable, inode_flags, syscalls
from metrics_storage.engine.lifecycle.directories import Directories, Place
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.lifecycle.quarantines import Quarantines
from metrics_storage.engine.volume import probe
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity, Uid
from metrics_storage.model.record import Phase, Record
from tests.faults.change import Change, in_place_of, left_out, says
from tests.faults.mutants.mutant import UNIT, Mutant, mutant


def _move_over(name: str, dir_fd: int, to_name: str, to_dir_fd: int) -> None:
    os.rename(name, to_name, src_dir_fd=dir_fd, dst_dir_fd=to_dir_fd)
    os.fsync(to_dir_fd)
    os.fsync(dir_fd)


def _rename_replacing(src_dir_fd: int, src: bytes, dst_dir_fd: int, dst: bytes) -> None:
    syscalls._rename(src_dir_fd, src, dst_dir_fd, dst, 0)


def _write_in_place(name: str, data: bytes, dir_fd: int) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=dir_fd)
    with open(fd, "wb") as file:
        durable.give(fd, dir_fd)
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.fsync(dir_fd)


def _archive_before_manifest() -> Callable[..., None]:
    manifests: list[tuple[Any, ...]] = []

    def move(real: Callable[..., None], name: str, *rest: Any) -> None:
        if name.endswith(MANIFEST_SUFFIX):
            manifests.append((name, *rest))
        else:
            real(name, *rest)
            real(*manifests.pop())

    return move


def _journal_first(phase: Phase) -> Callable[..., None]:
    """The entry of the directory that a step is about says before the step what is true after it."""

    def step(real: Callable[..., None], directories: Directories, about: Identity | Record, *rest: Any) -> None:
        uid: Uid = about.identity.uid if isinstance(about, Record) else about.uid
        journal = Journal(directories._volume)
        record = journal.read(uid)
        assert record is not None
        journal.write(record.at(phase))
        real(directories, about, *rest)

    return step


def _remove_where_it_stands(directories: Directories, identity: Identity, source: Place, _target: Place) -> None:
    shutil.rmtree(directories.path(source, identity))


ORDER: Final[dict[str, Mutant]] = {
    "archive committed over what is there": mutant(
        in_place_of(durable.move, _move_over, LocalDraft.commit), "archive of that name appears"
    ),
    "replacing rename": mutant(
        in_place_of(syscalls.rename_noreplace, _rename_replacing), "archive of that name appears"
    ),
    "a volume that lacks what is relied upon is used": mutant(
        says(probe.missing_abilities, []),
        UNIT + "test_probe.py::test_a_new_volume_is_refused_and_stays_empty",
    ),
    "directories of ours take in their own project only": mutant(
        left_out(inode_flags.stop_handing_down, Volume._prepare),
        UNIT + "test_moves.py::test_volumes_that_were_made_before_their_root_had_a_project_are_mended",
    ),
    "nothing takes over a project": mutant(
        left_out(inode_flags.take_over_project, durable.move),
        UNIT + "test_moves.py::"
        "test_what_comes_back_from_the_trash_takes_over_the_project_of_where_it_lived",
    ),
    "small files written in place": mutant(in_place_of(durable.write_file, _write_in_place), "deaths"),
    "archive committed before its manifest": mutant(
        Change(durable.move, _archive_before_manifest(), LocalDraft.commit), "deaths"
    ),
    "journal says Frozen before the move": mutant(
        Change(Directories.move, _journal_first(Phase.FROZEN), Quarantines._freeze), "deaths"
    ),
    "journal says Condemned before the move": mutant(
        Change(Directories.move, _journal_first(Phase.CONDEMNED), StorageEngine._condemn), "deaths"
    ),
    "journal says Gone before the removal": mutant(
        Change(Directories.remove_from_trash, _journal_first(Phase.GONE), StorageEngine.remove), "deaths"
    ),
    "removed where it stands": mutant(
        in_place_of(Directories.move, _remove_where_it_stands, StorageEngine._condemn), "life"
    ),
}  # fmt: skip
