"""The committed archives of a quarantine volume: which there are, opening and verifying them, removing one.

What is here is enumerated from names alone, so that an archive with a broken manifest is still seen. Archives
are written and committed in `local_vault`; nothing here opens one for writing, and `ArchiveStore.remove` is for a
person's explicit command only.
"""

import contextlib
import json
import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from metrics_storage.engine.archives.format.manifest import Header, Trailer
from metrics_storage.engine.archives.format.summary import read_summary
from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.fs import durable
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import ArchiveCorruptError, InvalidSpecError
from metrics_storage.model.identity import ARCHIVE_SUFFIX, MANIFEST_SUFFIX, ArchiveName, Identity, Uid

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REMOVALS: Final = "pruned.jsonl"
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Stored(ArchiveName):
    """One archive as its file names tell it.

    A commit renames the manifest first: an archive alone was being removed, or its manifest is lost. A manifest
    alone is an interrupted commit, whose source is kept, or its archive is lost.
    """

    has_archive: bool
    has_manifest: bool

    @property
    def complete(self) -> bool:
        """Whether both files are there."""
        return self.has_archive and self.has_manifest


@dataclass(frozen=True, slots=True)
class Description:
    """What an archive claims to be, read from the ends of its manifest; only `ArchiveStore.verify` makes it a fact.

    `header` and `trailer` are None where `problem` says why. `size` is that of the archive file in bytes, None
    without one; `modified_at` is the later time of modification of both files in seconds since 1970.
    """

    stored: Stored
    header: Header | None
    trailer: Trailer | None
    size: int | None
    modified_at: float
    problem: str = ""


class Archives(ABC):
    """Archives that lie somewhere, opened for reading only; `path` is where."""

    path: Path

    @abstractmethod
    def archives(self) -> list[Stored]:
        """Everything that has the name of an archive or manifest, sorted by namespace, name, uid and attempt."""

    @abstractmethod
    def _holder(self, namespace: str) -> AbstractContextManager[int]:
        """Descriptor of the directory in which the archives of a namespace lie."""

    def exists(self, stored: Stored) -> bool:
        """Whether any of the two files is still there."""
        try:
            with self._holder(stored.namespace) as fd:
                return any(
                    os.access(stored.stem + suffix, os.F_OK, dir_fd=fd, follow_symlinks=False)
                    for suffix in (ARCHIVE_SUFFIX, MANIFEST_SUFFIX)
                )
        except FileNotFoundError:
            return False

    def describe(self, stored: Stored) -> Description:
        """Read what an archive claims to be; costs the same for a manifest of any length.

        Raises:
            OSError: it was removed meanwhile, or cannot be read.
        """
        header, trailer, size, modified_at, problem = None, None, None, 0.0, ""
        with self._holder(stored.namespace) as fd:
            if stored.has_archive:
                found = os.stat(stored.stem + ARCHIVE_SUFFIX, dir_fd=fd, follow_symlinks=False)
                size, modified_at = found.st_size, found.st_mtime
            if stored.has_manifest:
                try:
                    with _opened(stored.stem + MANIFEST_SUFFIX, fd) as manifest_fd:
                        modified_at = max(modified_at, os.fstat(manifest_fd).st_mtime)
                        header, trailer = read_summary(manifest_fd)
                    require_named_after(stored, header)
                except ArchiveCorruptError as exc:
                    header, trailer, problem = None, None, str(exc)
        if not stored.complete:
            problem = "the archive is missing" if stored.has_manifest else "the manifest is missing"
        return Description(stored, header, trailer, size, modified_at, problem)

    @contextlib.contextmanager
    def reading(self, stored: Stored) -> Iterator[tuple[int, int]]:
        """Descriptors of archive and manifest.

        Raises:
            ArchiveCorruptError: one of them is missing, or is no regular file.
        """
        with contextlib.ExitStack() as stack:
            fds = [self._open(stack, stored, suffix) for suffix in (ARCHIVE_SUFFIX, MANIFEST_SUFFIX)]
            yield fds[0], fds[1]

    @contextlib.contextmanager
    def reading_manifest(self, stored: Stored) -> Iterator[int]:
        """Descriptor of the manifest alone; raises as `reading`."""
        with contextlib.ExitStack() as stack:
            yield self._open(stack, stored, MANIFEST_SUFFIX)

    def verify(self, stored: Stored, *, sha256: str | None = None, progress: Progress | None = None) -> VerifiedArchive:
        """Read all of an archive and its manifest; `sha256` is the archive's digest where it is known from elsewhere.

        Raises:
            ArchiveCorruptError: it is not as the writer left it, or is another's.
            OSError: reading failed.
        """
        with self.reading(stored) as (archive_fd, manifest_fd):
            verified = verify_archive(archive_fd, manifest_fd, sha256=sha256, progress=progress)
            # What was read once will not be read again soon: leave the memory to others.
            os.posix_fadvise(archive_fd, 0, 0, os.POSIX_FADV_DONTNEED)
        require_named_after(stored, verified.header)
        return verified

    def _open(self, stack: contextlib.ExitStack, stored: Stored, suffix: str) -> int:
        try:
            with self._holder(stored.namespace) as fd:
                return stack.enter_context(_opened(stored.stem + suffix, fd))
        except FileNotFoundError as exc:
            raise ArchiveCorruptError(f"{stored.namespace}/{stored.stem}{suffix} is missing") from exc


class ArchiveStore(Archives):
    """The archives on an opened quarantine volume."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.path = volume.path

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, *, writable: bool = False) -> Iterator["ArchiveStore"]:
        """The archives of the quarantine volume mounted at a path; read-only mounts do unless `writable`.

        Raises:
            VolumeError: no quarantine volume is there.
        """
        with Volume(path, Role.QUARANTINE, initialise=False, writable=writable) as volume:
            yield cls(volume)

    def archives(self) -> list[Stored]:
        """Everything that has the name of an archive or manifest, sorted by namespace, name, uid and attempt."""
        return [stored for namespace in self._namespaces() for stored in self._in_namespace(namespace)]

    def remove(self, stored: Stored, account: dict[str, Any]) -> None:
        """Remove an archive for good, after adding `account` to the volume's list of removals.

        The manifest goes first: an archive without manifest is a state that no commit ever makes, so that what
        an interruption leaves is not taken for a commit that may still be completed.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with durable.opened(_REMOVALS, flags, self.volume.private_fd) as fd:
            os.write(fd, json.dumps(account, separators=(",", ":")).encode() + b"\n")
            os.fsync(fd)
        os.fsync(self.volume.private_fd)
        with self._holder(stored.namespace) as fd:
            for suffix in (MANIFEST_SUFFIX, ARCHIVE_SUFFIX):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(stored.stem + suffix, dir_fd=fd)
                os.fsync(fd)

    def _holder(self, namespace: str) -> AbstractContextManager[int]:
        return durable.opened_directory(namespace, self.volume.fd)

    def _namespaces(self) -> list[str]:
        return sorted(
            name
            for name in durable.list_directory(self.volume.fd)
            if _NAMESPACE.fullmatch(name) and _is_directory(name, self.volume.fd)
        )

    def _in_namespace(self, namespace: str) -> list[Stored]:
        try:
            with self._holder(namespace) as fd:
                names = set(durable.list_directory(fd))
        except FileNotFoundError:
            return []
        parsed = {ArchiveName.parse(namespace, name) for name in names}
        found = [
            _stored(name, *(file in names for file in name.files))
            for name in parsed
            if name is not None and not names.isdisjoint(name.files)
        ]
        return sorted(found, key=lambda stored: (stored.name, stored.uid, stored.attempt))


class CopiedPair(Archives):
    """An archive and its manifest that were copied into any directory, beside each other and under their own names."""

    def __init__(self, path: Path) -> None:
        """`path` is of either file.

        Raises:
            ArchiveCorruptError: the manifest is missing or damaged, or they have not the names of an archive.
        """
        self.path = path.parent
        name = ArchiveName.parse("", path.name)
        if name is None:
            raise ArchiveCorruptError(f"{path} is not named like an archive, NAME_UID_ATTEMPT{ARCHIVE_SUFFIX}")
        archive, manifest = name.files
        try:
            with self._holder("") as fd, _opened(manifest, fd) as manifest_fd:
                namespace = read_summary(manifest_fd)[0].namespace
                has_archive = os.access(archive, os.F_OK, dir_fd=fd)
        except FileNotFoundError as exc:
            raise ArchiveCorruptError(f"{path.parent / manifest} is missing: copy it, too") from exc
        self._stored = _stored(replace(name, namespace=namespace), has_archive, True)

    def archives(self) -> list[Stored]:
        """The one."""
        return [self._stored]

    @contextlib.contextmanager
    def _holder(self, _namespace: str) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


def _is_directory(name: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode)
    except FileNotFoundError:
        return False


def identity_of(header: Header) -> Identity:
    """Whose archive it is.

    Raises:
        ArchiveCorruptError: nobody's: the parts are not what an API server issues.
    """
    try:
        return Identity(header.namespace, header.name, Uid(header.uid))
    except InvalidSpecError as exc:
        raise ArchiveCorruptError(f"manifest line 1: {exc}") from exc


def require_named_after(stored: Stored, header: Header) -> None:
    """See that archive and manifest have the names that follow from the header.

    Raises:
        ArchiveCorruptError: they are another's.
    """
    name = ArchiveName.of(identity_of(header), header.attempt)
    if name.path != stored.path:
        raise ArchiveCorruptError(f"it is archive {name.path} under another name")


def _stored(name: ArchiveName, has_archive: bool, has_manifest: bool) -> Stored:
    return Stored(name.namespace, name.name, name.uid, name.attempt, has_archive, has_manifest)


@contextlib.contextmanager
def _opened(name: str, dir_fd: int) -> Iterator[int]:
    with durable.opened(name, _FLAGS, dir_fd) as fd:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ArchiveCorruptError(f"{name} is not a regular file")
        yield fd
