"""What an error means to the owner of a MetricsStorage: a reason, and whether waiting can mend it."""

import errno
from dataclasses import dataclass
from typing import Final

from metrics_storage import errors
from metrics_storage.model import reasons


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a MetricsStorage is not as it should be; `stalled` means that a person must act."""

    reason: str
    message: str
    stalled: bool


# The first entry that matches counts, so subclasses stand before their bases.
_MEANINGS: Final[tuple[tuple[type[Exception], str, bool], ...]] = (
    (errors.InvalidSpecError, reasons.INVALID_SPEC, True),
    (errors.ConflictError, reasons.CLAIM_CONFLICT, True),
    (errors.DirectoryExistsError, reasons.DIRECTORY_EXISTS, True),
    (errors.DirectoryVanishedError, reasons.DIRECTORY_VANISHED, True),
    (errors.JournalError, reasons.JOURNAL_UNREADABLE, True),
    (errors.RemovalError, reasons.REMOVAL_BLOCKED, True),
    (errors.VolumeFullError, reasons.QUARANTINE_VOLUME_FULL, True),
    (errors.VolumeError, reasons.VOLUME_UNAVAILABLE, True),
    (errors.PersistentlyUncleanError, reasons.ARCHIVE_UNCLEAN, True),
    (errors.UncleanArchiveError, reasons.ARCHIVE_UNCLEAN, False),
    (errors.ArchiveCorruptError, reasons.ARCHIVE_CORRUPT, True),
    (errors.ClaimInUseError, reasons.CLAIM_IN_USE, False),
)


_VOLUME_ERRNOS: Final = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ENOTDIR, errno.ELOOP, errno.EINVAL),
)
"""What a system call says of a volume that a person must look after."""


def explain(error: Exception) -> Trouble:
    """Translate an error; what is not known is temporary, and keeps the data."""
    for kind, reason, stalled in _MEANINGS:
        if isinstance(error, kind):
            return Trouble(reason, str(error), stalled)
    if isinstance(error, OSError) and error.errno in _VOLUME_ERRNOS:
        message = (
            f"{error}: see to the storage volume (space, rights, mount); everything is kept, and it is tried again"
        )
        return Trouble(reasons.VOLUME_UNAVAILABLE, message, stalled=True)
    return Trouble(reasons.TEMPORARY_ERROR, f"{type(error).__name__}: {error}; it is tried again", False)
