"""Where the directory of a uid can be on the storage volume, and the moves between these places.

This module knows names, inodes and owners. Whether a move is allowed is the engine's business.
"""

import contextlib
import errno
import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from metrics_storage.engine.fs import durable, inode_flags
from metrics_storage.engine.fs.remove import remove_tree
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.engine.lifecycle.token import Token, compare_token, give_token
from metrics_storage.engine.volume.root import PRIVATE
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import (
    DirectoryCoveredError,
    DirectoryExistsError,
    InvalidSpecError,
    RemovalError,
    VolumeError,
)
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Record
from metrics_storage.model.spec import StorageSpec, split_owner

_NAMESPACE_MODE: Final = 0o711
"""Runners pass through the namespace's directory but do not see who else is in it."""


class Place(StrEnum):
    """Where a storage directory stands."""

    LIVE = "live"
    FROZEN = "frozen"
    TRASH = "trash"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Numeric owner and permission bits of a directory."""

    uid: int
    gid: int
    mode: int


def resolve_ownership(spec: StorageSpec) -> Ownership:
    """Look names up on this machine.

    Raises:
        InvalidSpecError: no user or group of that name.
    """
    user, group = split_owner(spec.owner)
    try:
        uid = user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
        gid = group if isinstance(group, int) else grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise InvalidSpecError(
            f"spec.directory.owner {spec.owner!r}: {exc.args[0]} on this machine; give numeric ids such as 1000:1000"
        ) from exc
    return Ownership(uid, gid, spec.mode_bits)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands where the directory of a record may be: its place and its inode number.

    `token` is None where that number is the record's, or the record has none yet: then the token decides nothing.
    """

    place: Place
    inode: int
    token: Token | None


class Directories:
    """The storage directories of a volume.

    With `adopting`, a directory that was copied to where it stands counts as the one that was provisioned.
    """

    def __init__(self, volume: Volume, *, adopting: bool = False) -> None:
        self._volume = volume
        self._adopting = adopting

    def exists_live(self, identity: Identity) -> bool:
        """Whether anything stands where the live directory of `identity` belongs."""
        try:
            with self._holder(Place.LIVE, identity) as (fd, name):
                os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            return False
        return True

    def make(self, identity: Identity, ownership: Ownership, token: str | None = None) -> int:
        """Make the live directory, or complete one that was begun, and return its inode.

        It belongs to us alone (0700) until its owner and mode are set, in this order.
        """
        while True:
            # A deletion beside us may remove the namespace's directory as empty; then it is made again.
            with contextlib.suppress(FileNotFoundError):
                self._volume.check()
                self._make_namespace(identity.namespace)
                with self._holder(Place.LIVE, identity) as (fd, name):
                    durable.make_directory(name, fd, 0o700)
                    return self._set_ownership(identity, ownership, token)

    def _set_ownership(self, identity: Identity, ownership: Ownership, token: str | None) -> int:
        """Give the live directory its token, its owner and its mode, and return its inode."""
        with self.opened(Place.LIVE, identity) as fd:
            if token is not None:
                give_token(fd, identity.uid, token)
            os.fchown(fd, ownership.uid, ownership.gid)
            os.fchmod(fd, ownership.mode)
            os.fsync(fd)
            return os.fstat(fd).st_ino

    def find(self, record: Record) -> Place | None:
        """The place where the directory of a record stands, None where it is nowhere.

        Raises:
            DirectoryExistsError: another directory stands in its place.
        """
        located = self.locate(record)
        return located.place if located else None

    def locate(self, record: Record) -> Standing | None:
        """Where the directory of a record stands; its inode number is another one where it was copied there.

        Raises:
            DirectoryExistsError: another directory stands in its place, or a copy that is not to be adopted.
        """
        standing = self.standing(record)
        if standing is None or standing.token is None:
            return standing
        if not (self._adopting and standing.token is Token.SAME):
            raise DirectoryExistsError(self._is_another(record, standing))
        return standing

    def occupied(self, identity: Identity) -> Place | None:
        """The first place where any directory stands under this identity, whoever made it; None without one."""
        for place in Place:
            with contextlib.suppress(FileNotFoundError), self.opened(place, identity):
                return place
        return None

    def standing(self, record: Record) -> Standing | None:
        """Whatever stands in the first place where the directory of a record may be."""
        for place in Place:
            try:
                with self.opened(place, record.identity) as fd:
                    inode = os.fstat(fd).st_ino
                    agrees = record.inode in (None, inode)
                    token = None if agrees else compare_token(fd, record.identity.uid, record.token)
                    return Standing(place, inode, token)
            except FileNotFoundError:
                continue
        return None

    def _is_another(self, record: Record, standing: Standing) -> str:
        found = (
            f"{standing.place} directory of {record.identity} has inode {standing.inode}, but {record.inode} was "
            "provisioned: "
        )
        adopt = f"metrics-storage adopt-volume {self._volume.path}"
        if standing.token is Token.SAME:
            return f"{found}it is a copy. If the volume was copied or restored, stop the operator, then: {adopt}"
        return (
            f"{found}somebody replaced it. Move it away; it is not touched. (If the whole volume was copied or "
            f"restored, stop the operator, then: {adopt})"
        )

    @contextlib.contextmanager
    def opened(self, place: Place, identity: Identity) -> Iterator[int]:
        """Descriptor of the directory at a place."""
        with contextlib.ExitStack() as stack:
            with self._obstacles_explained(place, identity):
                fd, name = stack.enter_context(self._holder(place, identity))
                opened = stack.enter_context(durable.opened_directory(name, fd))
            yield opened

    def move(self, identity: Identity, source: Place, target: Place) -> None:
        """Move the directory from one place to another, never over anything.

        Raises:
            VolumeError: the file system refuses it for good.
            RemovalError: a flag on the directory forbids it.
        """
        with (
            self._holder(source, identity) as (source_fd, source_name),
            self._holder(target, identity) as (target_fd, target_name),
        ):
            try:
                durable.move(source_name, source_fd, target_name, target_fd)
            except OSError as exc:
                path = self.path(source, identity)
                if exc.errno == errno.EXDEV:
                    raise VolumeError(
                        f"the file system of {path} refuses to move it into {target}; the directory is kept: an "
                        "overlay does that with what lies in its lower layer (use the file system below it as the "
                        "volume), and a project that may not be changed "
                        f"(chattr -P {self._volume.path / PRIVATE / target})"
                    ) from exc
                if exc.errno == errno.EPERM and inode_flags.forbid_moving(source_name, source_fd):
                    raise RemovalError(
                        f"{path} cannot be moved into {target}: it is immutable or append-only. Take that away on the "
                        f"node (chattr -i -a {path}); it is tried again"
                    ) from exc
                raise
        if source is Place.LIVE:
            self._remove_empty_namespace(identity.namespace)

    def bring_back(self, identity: Identity) -> None:
        """Move a directory that was not condemned from the trash to where it lived."""
        self._make_namespace(identity.namespace)
        self.move(identity, Place.TRASH, Place.LIVE)

    def remove_from_trash(self, record: Record, progress: Progress | None = None) -> None:
        """Remove a condemned directory from the trash; nothing to do where it is gone.

        Raises:
            RemovalError: something in it resists, or it is not the one that was condemned.
        """
        if record.inode is None:
            return
        with self._holder(Place.TRASH, record.identity) as (fd, name):
            with contextlib.suppress(FileNotFoundError):
                remove_tree(fd, os.fsencode(name), inode=record.inode, progress=progress)
            os.fsync(fd)

    def path(self, place: Place, identity: Identity) -> Path:
        """Where the directory of `identity` is at a place, for people and for whoever opens it by its path."""
        if place is Place.LIVE:
            return self._volume.path / identity.relative_path
        return self._volume.path / PRIVATE / place / identity.uid

    @contextlib.contextmanager
    def _obstacles_explained(self, place: Place, identity: Identity) -> Iterator[None]:
        """Say what to do where a mount, a link or a file is in the way to the directory at a place."""
        path = self.path(place, identity)
        try:
            yield
        except OSError as exc:
            if exc.errno == errno.EXDEV:
                raise DirectoryCoveredError(
                    f"{path} has something mounted on it, so that the directory of {identity} cannot be reached: "
                    f"unmount it (umount {path}); everything is kept until then"
                ) from exc
            if exc.errno in (errno.ENOTDIR, errno.ELOOP):
                raise DirectoryExistsError(
                    f"{path} or the directory above it is a symbolic link or a file: somebody replaced the directory "
                    f"of {identity}. Move away what is there (it is not touched), and put the directory back"
                ) from exc
            raise

    @contextlib.contextmanager
    def _holder(self, place: Place, identity: Identity) -> Iterator[tuple[int, str]]:
        """Descriptor of the directory that holds the storage directory at a place, and its name there."""
        if place is Place.LIVE:
            parent, name, inside = self._volume.fd, identity.namespace, identity.directory_name
        else:
            parent, name, inside = self._volume.private_fd, place.value, identity.uid
        with durable.opened_directory(name, parent) as fd:
            yield fd, inside

    def _make_namespace(self, namespace: str) -> None:
        durable.make_directory(namespace, self._volume.fd, _NAMESPACE_MODE, like=self._volume.private_fd)

    def _remove_empty_namespace(self, namespace: str) -> None:
        try:
            os.rmdir(namespace, dir_fd=self._volume.fd)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
