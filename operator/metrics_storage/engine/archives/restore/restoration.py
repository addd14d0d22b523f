"""One archive on its way into a new directory: verified, looked through, and only then restored."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.archives.restore.policy import RestoreOptions, Survey, survey
from metrics_storage.engine.archives.restore.restore import Restored, restore_archive
from metrics_storage.engine.archives.store import Archives, ArchiveStore, Stored, require_named_after
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import RestoreTargetError

_RESERVE: Final = 4096
"""Bytes that an entry may cost beside its content."""


class Restoration:
    """A verified archive and the directory that it is to be restored into; made by `verified`.

    `survey` says what would be restored, and what is refused.
    """

    def __init__(
        self, fds: tuple[int, int], archive: VerifiedArchive, directory: Path, options: RestoreOptions
    ) -> None:
        self.archive = archive
        self.survey: Survey = survey(fds[1], options)
        self._fds = fds
        self._directory = directory
        self._options = options

    @classmethod
    @contextmanager
    def verified(
        cls,
        archives: Archives,
        stored: Stored,
        directory: Path,
        options: RestoreOptions,
        progress: Progress | None = None,
    ) -> Iterator[Self]:
        """Verify an archive; nothing is written. `progress` is told the bytes and entries that are read.

        Raises:
            RestoreTargetError: the directory is not new or empty, or is on the quarantine volume.
            ArchiveCorruptError: the archive is not as the writer left it, or is another's.
        """
        require_free(directory, archives)
        with archives.reading(stored) as fds:
            archive = verify_archive(*fds, progress=progress)
            require_named_after(stored, archive.header)
            yield cls(fds, archive, directory, options)

    def restore(self, progress: Progress | None = None) -> Restored:
        """Restore below the directory, which is made where it is missing (0700). After an error, what is there stays.

        Raises:
            RestoreTargetError: no room, or something came into the directory meanwhile; nothing was restored.
            ArchiveError: something is refused that the options do not leave out, or an entry failed.
            ArchiveCorruptError: the archive is not any more what was verified.
        """
        with _opened(self._directory) as target_fd:
            self._require_room(target_fd)
            return restore_archive(*self._fds, target_fd, self.archive, self._options, progress=progress)

    def _require_room(self, target_fd: int) -> None:
        volume = os.fstatvfs(target_fd)
        free = volume.f_bavail * volume.f_frsize
        need = self.survey.bytes + self.archive.entries * _RESERVE
        if free < need:
            raise RestoreTargetError(
                f"{self._directory}: {os.strerror(errno.ENOSPC)}: {need:,} bytes are needed, {free:,} are free"
            )


def require_free(directory: Path, archives: Archives) -> None:
    """See that a directory is new or empty, and not on the quarantine volume, before anything long begins.

    Raises:
        RestoreTargetError: it is not, or the directory above it is missing.
    """
    if isinstance(archives, ArchiveStore) and os.path.commonpath(
        [os.path.realpath(directory), os.path.realpath(archives.path)]
    ) == os.path.realpath(archives.path):
        raise RestoreTargetError(f"{directory} is on the quarantine volume: restore to somewhere else")
    if not os.path.lexists(directory):
        parent = os.path.dirname(os.path.abspath(directory))
        if not os.path.isdir(parent):
            raise RestoreTargetError(f"{parent} does not exist: make it, or choose another place")
        return
    if os.path.islink(directory) or not os.path.isdir(directory) or os.listdir(directory):
        raise RestoreTargetError(f"{directory} exists and is not an empty directory: nothing is ever restored over it")


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Descriptor of the directory, made unless it is there, and seen again to be empty."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise RestoreTargetError(f"{directory} cannot be made: {exc.strerror}") from exc
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.listdir(fd):
            raise RestoreTargetError(f"{directory} is not empty: nothing is ever restored over it")
        yield fd
    finally:
        os.close(fd)
