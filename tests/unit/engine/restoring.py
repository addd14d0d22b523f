"""Restoring an archive in a test."""

import os
from collections.abc import Callable
from pathlib import Path

from metrics_storage.engine.archives.format import verify_archive
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.restore.policy import RestoreOptions, Survey, survey
from metrics_storage.engine.archives.restore.restore import Restored, restore_archive
from tests.unit.engine.archiving import Archiving, close

SKIP = RestoreOptions(skip_refused=True)


def restore(
    archiving: Archiving,
    options: RestoreOptions | None = None,
    between: Callable[[VerifiedArchive], None] = lambda _: None,
) -> tuple[Path, Restored]:
    """Verify, then restore into a new directory; what came out."""
    target = archiving.root / "restored"
    target.mkdir(exist_ok=True)
    fds = [
        os.open(archiving.archive, os.O_RDONLY),
        os.open(archiving.manifest, os.O_RDONLY),
        os.open(target, os.O_RDONLY | os.O_DIRECTORY),
    ]
    try:
        verified = verify_archive(fds[0], fds[1])
        between(verified)
        return target, restore_archive(fds[0], fds[1], fds[2], verified, options or RestoreOptions())
    finally:
        close(fds)


def look(archiving: Archiving, options: RestoreOptions | None = None) -> Survey:
    fd = os.open(archiving.manifest, os.O_RDONLY)
    try:
        return survey(fd, options or RestoreOptions())
    finally:
        os.close(fd)
