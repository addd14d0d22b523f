"""What an error means to the owner of a MetricsStorage: a reason, whether a person must act, when to try again."""

import errno
from dataclasses import dataclass
from typing import Final

from metrics_storage import errors
from metrics_storage.model import reasons


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a MetricsStorage is not as it should be.

    `stalled` means that a person must act; `retry_after` is in seconds.
    """

    reason: str
    message: str
    stalled: bool
    retry_after: float


_SOON: Final = 5.0
_LATER: Final = 20.0
"""Soon enough after a person acted."""
_RARELY: Final = 600.0
"""Each attempt at an archive costs as much as the first."""

MAX_RETRY_AFTER: Final = _RARELY
"""Longest `retry_after`, in seconds."""

# The first entry that matches counts, so subclasses stand before their bases.
_MEANINGS: Final[tuple[tuple[type[Exception], str, bool, float], ...]] = (
    (errors.InvalidSpecError, reasons.INVALID_SPEC, True, _LATER),
    (errors.ConflictError, reasons.CLAIM_CONFLICT, True, _LATER),
    (errors.DirectoryExistsError, reasons.DIRECTORY_EXISTS, True, _LATER),
    (errors.DirectoryVanishedError, reasons.DIRECTORY_VANISHED, True, _LATER),
    (errors.JournalError, reasons.JOURNAL_UNREADABLE, True, _LATER),
    (errors.RemovalError, reasons.REMOVAL_BLOCKED, True, _LATER),
    (errors.VolumeFullError, reasons.QUARANTINE_VOLUME_FULL, True, _LATER),
    (errors.VolumeError, reasons.VOLUME_UNAVAILABLE, True, _LATER),
    (errors.PersistentlyUncleanError, reasons.ARCHIVE_UNCLEAN, True, _RARELY),
    (errors.UncleanArchiveError, reasons.ARCHIVE_UNCLEAN, False, _SOON),
    (errors.ArchiveCorruptError, reasons.ARCHIVE_CORRUPT, True, _LATER),
    (errors.ClaimInUseError, reasons.CLAIM_IN_USE, False, _SOON),
    (errors.NodeLostError, reasons.NODE_LOST, True, _LATER),
    (errors.NodeUnavailableError, reasons.NODE_UNAVAILABLE, False, _SOON),
    (errors.PersistentlyRefusedError, reasons.REQUEST_REFUSED, True, _LATER),
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
    for kind, reason, stalled, retry_after in _MEANINGS:
        if isinstance(error, kind):
            return Explanation(reason, str(error), stalled, retry_after)
    which = "quarantine" if isinstance(error, errors.ArchiveError) else "storage"
    # An archive that could not be written says so in its own words; what the kernel said is its cause.
    refusal = error.__cause__ if isinstance(error, errors.ArchiveError) else error
    if isinstance(refusal, OSError) and refusal.errno is not None and refusal.errno not in _PASSING:
        message = (
            f"{error}: see to the {which} volume (space, rights, mount, limits of its file system); everything is "
            "kept, and it is tried again"
        )
        return Explanation(reasons.VOLUME_UNAVAILABLE, message, stalled=True, retry_after=_LATER)
    code = error.code if isinstance(error, errors.MetricsStorageError) else type(error).__name__
    message = f"{code}: {error}; it is tried again"
    return Explanation(reasons.TEMPORARY_ERROR, message, stalled=False, retry_after=_SOON)
