"""A quarantine volume of this machine: archives are written aside, verified, committed under a name never used before.

A committed archive is opened for reading only. What is not committed lies in `incoming`, and is nobody's
evidence: it is thrown away and written anew.
"""

import contextlib
import copy
import hashlib
import os
from collections.abc import Iterator
from typing import Final

from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.verify import verify_archive
from metrics_storage.engine.archives.unfinished import creating, discard, exists, reading, unfinished_names
from metrics_storage.engine.archives.vault import Digests, Origin
from metrics_storage.engine.fs import durable
from metrics_storage.engine.fs.walk import Meter, Progress
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import ArchiveCorruptError, ArchiveError, VolumeFullError
from metrics_storage.model.identity import ArchiveName, Identity

_INODES: Final = 3
"""Inodes that one archive may need."""

_BUFFER: Final = 1 << 20


class LocalDraft:
    """A new archive in `incoming`."""

    def __init__(
        self, volume: Volume, identity: Identity, attempt: int, origin: Origin, fds: tuple[int, int, int]
    ) -> None:
        """`fds` are those of archive, manifest and `incoming`."""
        self._volume = volume
        self._identity = identity
        self.attempt = attempt
        self.origin = origin
        self.archive_fd, self.manifest_fd, self._incoming = fds
        self._aside = unfinished_names(identity)
        self._verified = False

    def verify(self, progress: Progress | None) -> Digests:
        archive_fd, manifest_fd = self.archive_fd, self.manifest_fd
        os.fsync(archive_fd)
        os.fsync(manifest_fd)
        with reading(self._aside[0], self._incoming) as archive, reading(self._aside[1], self._incoming) as manifest:
            verified = verify_archive(archive, manifest, progress=progress)
        self._require_own(verified.header)
        self._verified = True
        return Digests(verified.archive_sha256, verified.manifest_sha256)

    def _require_own(self, header: Header) -> None:
        """See that a manifest says what this vault said, whoever wrote it."""
        identity, origin = self._identity, self.origin
        found = (header.namespace, header.name, header.uid, header.attempt, header.cluster, header.node)
        expected = (identity.namespace, identity.name, identity.uid, self.attempt, origin.cluster, origin.node)
        if found != expected:
            raise ArchiveCorruptError(f"what was written is an archive of {found}, and not of {expected}")

    def reading_manifest(self) -> contextlib.AbstractContextManager[int]:
        return reading(self._aside[1], self._incoming)

    def commit(self) -> None:
        if not self._verified:
            raise ArchiveError("what was not verified is not committed")
        name = ArchiveName.of(self._identity, self.attempt)
        durable.make_directory(name.namespace, self._volume.fd, 0o700, like=self._volume.private_fd)
        with durable.opened_directory(name.namespace, self._volume.fd) as namespace:
            # The archive goes last: with it the pair is complete.
            durable.move(self._aside[1], self._incoming, name.files[1], namespace)
            durable.move(self._aside[0], self._incoming, name.files[0], namespace)


class LocalVault:
    """The quarantine volume that this process has mounted; `origin` is that of the directories it archives."""

    def __init__(self, volume: Volume, origin: Origin = Origin()) -> None:  # noqa: B008 - it is immutable
        """Flushes what a predecessor left in the page cache, before anything is built upon it.

        Raises:
            VolumeError: the volume is not there any more as it was opened.
        """
        volume.check()
        self._volume = volume
        self._origin = origin

    def of(self, origin: Origin) -> "LocalVault":
        """The same vault for directories of another origin."""
        other = copy.copy(self)
        other._origin = origin
        return other

    def recover(self, identity: Identity) -> int:
        with self._errors(identity):
            with self._opened_incoming() as incoming:
                discard(unfinished_names(identity), incoming)
            try:
                with durable.opened_directory(identity.namespace, self._volume.fd) as fd:
                    attempt = 0
                    while any(exists(name, fd) for name in ArchiveName.of(identity, attempt + 1).files):
                        attempt += 1
                    return attempt
            except FileNotFoundError:
                return 0

    @contextlib.contextmanager
    def draft(self, identity: Identity, room: int) -> Iterator[LocalDraft]:
        attempt = self.recover(identity) + 1
        aside = unfinished_names(identity)
        with self._errors(identity), self._opened_incoming() as incoming:
            self._require_room(room)
            try:
                with creating(aside[0], incoming) as archive_fd, creating(aside[1], incoming) as manifest_fd:
                    fds = archive_fd, manifest_fd, incoming
                    yield LocalDraft(self._volume, identity, attempt, self._origin, fds)
            finally:
                discard(aside, incoming)

    @contextlib.contextmanager
    def reading(self, identity: Identity, attempt: int) -> Iterator[tuple[int, int]]:
        archive, manifest = ArchiveName.of(identity, attempt).files
        with (
            self._errors(identity),
            durable.opened_directory(identity.namespace, self._volume.fd) as fd,
            reading(archive, fd) as archive_fd,
            reading(manifest, fd) as manifest_fd,
        ):
            yield archive_fd, manifest_fd

    def digests(self, identity: Identity, attempt: int, progress: Progress | None) -> Digests:
        self._volume.check()
        name = ArchiveName.of(identity, attempt)
        try:
            with durable.opened_directory(name.namespace, self._volume.fd) as fd:
                return Digests(*(_digest(file, fd, progress) for file in name.files))
        except OSError as exc:
            raise ArchiveCorruptError(
                f"{self._volume.path}/{name.path} or its manifest: {exc.strerror}; bring it back from a copy; its "
                "source is kept"
            ) from exc

    @contextlib.contextmanager
    def _errors(self, identity: Identity) -> Iterator[None]:
        """Check the volume first, and say in this project's words what goes wrong on it."""
        self._volume.check()
        try:
            yield
        except OSError as exc:
            self._volume.require_sync()
            if exc.errno in durable.FULL:
                raise VolumeFullError(
                    f"quarantine volume {self._volume.path} is full: make room or mount a larger one; the directory "
                    f"of {identity} is kept, and archiving goes on then"
                ) from exc
            raise

    def _opened_incoming(self) -> contextlib.AbstractContextManager[int]:
        return durable.opened_directory("incoming", self._volume.private_fd)

    def _require_room(self, room: int) -> None:
        volume = os.fstatvfs(self._volume.fd)
        free = volume.f_bavail * volume.f_frsize
        # File systems that make inodes as they go report none at all.
        if free < room or (volume.f_files and volume.f_favail < _INODES):
            raise VolumeFullError(
                f"quarantine volume {self._volume.path} has less than {room} bytes or {_INODES} inodes free, which an "
                "archive may need: make room or mount a larger one; the directory is kept"
            )


def _digest(name: str, dir_fd: int, progress: Progress | None) -> str:
    digest = hashlib.sha256()
    meter = Meter(progress)
    with reading(name, dir_fd) as fd:
        while block := os.read(fd, _BUFFER):
            digest.update(block)
            meter.add(bytes_=len(block))
    return digest.hexdigest()
