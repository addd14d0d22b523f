"""Engines that do not look before they act: at the inode, the mark, the journal, the volume."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import Any, Final

from metrics_storage.engine.archives import unfinished
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.fs import durable, remove, subvolumes, walk
from metrics_storage.engine.lifecycle import adoption
from metrics_storage.engine.lifecycle.declarations import Declarations
from metrics_storage.engine.lifecycle.directories import Directories, Standing
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.lifecycle.lives import Lives
from metrics_storage.engine.lifecycle.token import Token
from metrics_storage.engine.volume import lock, root
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import VolumeError
from metrics_storage.model.record import Phase, Record
from tests.faults.change import Change, in_place_of, left_out, says, then
from tests.faults.mutants.mutant import UNIT, Mutant, mutant


def _same_inode(standing: Standing | None) -> Standing | None:
    return standing and replace(standing, token=None)


def _same_token(standing: Standing | None) -> Standing | None:
    return standing and replace(standing, token=standing.token and Token.SAME)


def _adopt_always(real: Any, directories: Directories, volume: Volume, *, adopting: bool = False) -> None:
    del adopting
    real(directories, volume, adopting=True)


def _open_unseen(parent_fd: int, name: bytes, inode: int) -> int:
    fd = walk.open_directory(parent_fd, name, unlock=True)
    remove._require_condemned(os.fstat(fd), parent_fd, name, inode)
    return fd


def _open_as_it_was(parent_fd: int, name: bytes, inode: int) -> int:
    remove._require_condemned(os.lstat(name, dir_fd=parent_fd), parent_fd, name, inode)
    return walk.open_directory(parent_fd, name, unlock=True)


@contextlib.contextmanager
def _opened_following(name: str, dir_fd: int) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _creating_again(name: str, dir_fd: int) -> AbstractContextManager[int]:
    return durable.opened(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, dir_fd)


def _not_latched(record: Record) -> Record:
    return replace(record, quarantine=None)


def _read_marker_of_any_role(real: Any, volume: Volume, private_fd: int) -> object:
    try:
        return real(volume, private_fd)
    except VolumeError:
        other = copy(volume)
        other.role = Role.STORAGE if volume.role is Role.QUARANTINE else Role.QUARANTINE
        return real(other, private_fd)


_ADOPTION: Final = UNIT + "test_adoption.py::"
_VOLUME: Final = UNIT + "test_volume.py::"

PRECONDITIONS: Final[dict[str, Mutant]] = {
    "inode is not compared when the directory is looked for": mutant(
        then(Directories.standing, _same_inode, Directories.locate), "another directory stands where it lived"
    ),
    "copies are adopted that nobody spoke for": mutant(
        Change(Directories.__init__, _adopt_always),
        _ADOPTION + "test_a_copy_is_told_as_one_and_adopted_on_request",
    ),
    "anything is adopted as a copy": mutant(
        then(Directories.standing, _same_token, Directories.locate),
        _ADOPTION + "test_what_is_no_copy_is_never_adopted",
    ),
    "the mark of another is adopted": mutant(
        Change(adoption._candidate, lambda real, record, standing: real(record, _same_token(standing))),
        _ADOPTION + "test_what_is_no_copy_is_never_adopted",
    ),
    "a snapshot of the volume is archived": mutant(
        says(subvolumes.is_snapshot_of, False),
        UNIT + "test_subvolumes.py::test_a_snapshot_of_the_volume_itself_gets_into_no_archive",
    ),
    "inode is not compared before a removal": mutant(
        in_place_of(remove._open_condemned, _open_unseen), "another directory stands in trash"
    ),
    "inode is not compared again once it is open": mutant(
        in_place_of(remove._open_condemned, _open_as_it_was),
        "directory in trash is swapped while it is opened",
    ),
    "inode is not compared at all": mutant(
        left_out(remove._require_condemned), "another directory stands in trash"
    ),
    "links are followed to the directory": mutant(
        in_place_of(durable.opened_directory, _opened_following),
        UNIT + "test_durable.py::test_a_link_in_place_of_a_directory_is_not_opened",
    ),
    "unknown directory is adopted": mutant(
        says(Directories.exists_live, False, StorageEngine.ensure),
        "a strangers directory stands there before",
    ),
    "latched, but removed without archive": mutant(
        says(Record.must_be_archived, False, StorageEngine.condemn),
        "removal is asked for before the archive",
    ),
    "latched, but retained": mutant(
        then(Lives.known, _not_latched, StorageEngine.retain), "retaining is asked for before the archive"
    ),
    "retained in the trash": mutant(
        left_out(Directories.bring_back, StorageEngine.retain), "retain during delete deaths"
    ),
    "latch can be changed": mutant(then(Lives.known, _not_latched, StorageEngine.latch), "deaths"),
    "latched when it is gone": mutant(
        then(Lives.known, lambda record: record.at(Phase.PROVISIONED), StorageEngine.latch),
        "it is latched when it is gone",
    ),
    "vanished is taken for removed": mutant(
        says(Declarations.is_lost, True, StorageEngine._condemn), "it vanishes"
    ),
    "lost entry is taken for never made": mutant(
        says(Directories.occupied, None, StorageEngine.check_never_made), "the journal loses the entry"
    ),
    "living directory is forgotten": mutant(
        then(StorageEngine.find, lambda record: record and record.at(Phase.GONE), StorageEngine.forget),
        "it is forgotten while it lives",
    ),
    "retained directory is forgotten": mutant(
        says(Directories.find, None, StorageEngine.forget), "it is forgotten while it is retained"
    ),
    "attempts always count from one": mutant(
        says(unfinished.exists, False, LocalVault.recover), "archive of that name exists"
    ),
    "half archives are opened again": mutant(in_place_of(unfinished.creating, _creating_again), "life"),
    "unmounted volume is not noticed": mutant(
        left_out(Volume._reopen, Volume.require_present), "storage is unmounted"
    ),
    "a volume mounted anew is not locked anew": mutant(
        Change(lock.take_lock, lambda _real, private_fd, _described: os.dup(private_fd), Volume._reopen),
        _VOLUME + "test_a_volume_mounted_anew_that_another_works_on_stays_refused",
    ),
    "another volume is taken for ours mounted anew": mutant(
        left_out(Volume._require_id, Volume._reopen),
        _VOLUME + "test_another_volume_mounted_in_its_place_is_none_of_ours",
    ),
    "other marker is not noticed": mutant(left_out(Volume._require_id), "storage is swapped"),
    "role of a volume is not compared": mutant(
        Change(Volume._read_marker, _read_marker_of_any_role), "the volumes change places"
    ),
    "volume without marker is made a new one": mutant(
        says(root.content_of, [], Volume._open_private), "an empty volume is mounted at the next start"
    ),
    "volume is not locked": mutant(left_out(fcntl.flock, lock.take_lock), "a second operator starts"),
}  # fmt: skip
