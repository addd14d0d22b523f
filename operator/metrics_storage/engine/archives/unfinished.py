"""The two files of an archive before its commit: new, read back by fresh descriptors, and discarded where it fails."""

import contextlib
import os
from contextlib import AbstractContextManager

from metrics_storage.engine.fs import durable
from metrics_storage.model.identity import ARCHIVE_SUFFIX, MANIFEST_SUFFIX, Identity


def creating(name: str, dir_fd: int) -> AbstractContextManager[int]:
    """A new file, never one that is there already."""
    return durable.opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd)


def reading(name: str, dir_fd: int) -> AbstractContextManager[int]:
    """A file as the disk has it, by a descriptor of its own."""
    return durable.opened(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd)


def unfinished_names(identity: Identity) -> tuple[str, str]:
    """Names of an archive and its manifest until they are committed."""
    return identity.uid + ARCHIVE_SUFFIX, identity.uid + MANIFEST_SUFFIX


def exists(name: str, dir_fd: int) -> bool:
    """Whether anything has this name."""
    return os.access(name, os.F_OK, dir_fd=dir_fd, follow_symlinks=False)


def discard(names: tuple[str, str], dir_fd: int) -> None:
    """Remove files that were never committed, as far as they are there."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=dir_fd)
