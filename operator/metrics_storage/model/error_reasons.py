"""What an error means to the owner of a MetricsStorage: a reason, and whether waiting can mend it."""

import errno
from dataclasses import dataclass
from typing import Final

from metrics_storage import errors
from metrics_storage.model import reasons


@dataclass(frozen=True, slots=True)
class Explanation:
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
    (errors.PersistentlyRefusedError, reasons.REQUEST_REFUSED, True),
)


_PASSING: Final = frozenset(
    {
        *(errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.EDEADLK, errno.ENOLCK, errno.ECANCELED),
        *(errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE),
        *(errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ESTALE),
        *(errno.EPIPE, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    }
)
"""What may be over at the next attempt: something is in use, short, changing, or a server does not answer. Whatever
else the kernel says of a volume, now or in a newer version, a person must look after it."""


def explain(error: Exception) -> Explanation:
    """Translate an error; what is not known is temporary, and keeps the data."""
    for kind, reason, stalled in _MEANINGS:
        if isinstance(error, kind):
            return Explanation(reason, str(error), stalled)
    which = "quarantine" if isinstance(error, errors.ArchiveError) else "storage"
    # An archive that could not be written says so in its own words; what the kernel said is its cause.
    refusal = error.__cause__ if isinstance(error, errors.ArchiveError) else error
    if isinstance(refusal, OSError) and refusal.errno is not None and refusal.errno not in _PASSING:
        message = (
            f"{error}: see to the {which} volume (space, rights, mount, limits of its file system); everything is "
            "kept, and it is tried again"
        )
        return Explanation(reasons.VOLUME_UNAVAILABLE, message, stalled=True)
    return Explanation(reasons.TEMPORARY_ERROR, f"{type(error).__name__}: {error}; it is tried again", False)
