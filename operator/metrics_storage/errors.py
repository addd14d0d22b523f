"""The errors of this project, under one base.

Layers below the controller raise only these; the handlers' boundary is the one place that turns them into
kopf's. A message names the subject, the offending value and what was expected; where a person must act, how.
A `code` never changes: other processes, also of other versions, know an error by it.
"""

from typing import ClassVar, Final

_PASSING_STATUSES: Final = (401, 404, 408, 409, 425, 429)
"""HTTP statuses of client errors that the next attempt may not meet: credentials renewed, object back, less traffic."""


class MetricsStorageError(Exception):
    """Base of every error that this package raises on purpose."""

    code: ClassVar[str] = "Error"


class SettingsError(MetricsStorageError):
    """A flag or environment variable is wrong or missing."""

    code = "InvalidSettings"


class WatchLostError(MetricsStorageError):
    """MetricsStorages are on the API server that no watch tells of; only a new start watches them."""

    code = "WatchLost"


class InvalidSpecError(MetricsStorageError):
    """A resource asks for something that cannot be provided; nothing was touched."""

    code = "InvalidSpec"


class VolumeError(MetricsStorageError):
    """A storage or quarantine volume is not what it must be: missing, swapped, foreign or unusable."""

    code = "VolumeUnusable"


class VolumeLockedError(VolumeError):
    """Another process works on the storage volume."""

    code = "VolumeLocked"


class VolumeLostError(VolumeError):
    """What was opened is not at its path any more, or cannot be read."""

    code = "VolumeLost"


class DirectoryCoveredError(VolumeError):
    """Something is mounted on a storage directory, which cannot be reached below it."""

    code = "DirectoryCovered"


class VolumeFullError(VolumeError):
    """The quarantine volume has no room for an archive."""

    code = "VolumeFull"


class VolumeSourceError(MetricsStorageError):
    """No volume can be derived from the given `--volume-source`."""

    code = "InvalidVolumeSource"


class JournalError(MetricsStorageError):
    """A journal entry is unreadable, of an unknown version, or contradicts what is asked for."""

    code = "JournalUnreadable"


class JournalMismatchError(VolumeError):
    """A journal is not the one of these archives; nothing was done."""

    code = "JournalMismatch"


class DirectoryExistsError(MetricsStorageError):
    """Something that the journal does not know stands where a storage directory would be made."""

    code = "DirectoryExists"


class DirectoryVanishedError(MetricsStorageError):
    """The journal knows a storage directory that is not on the volume any more."""

    code = "DirectoryVanished"


class RemovalError(MetricsStorageError):
    """A condemned directory could not be removed completely; what is left is still in the trash."""

    code = "RemovalBlocked"


class ArchiveError(MetricsStorageError):
    """An archive could not be written; the source is untouched."""

    code = "ArchiveFailed"


class ArchiveCorruptError(ArchiveError):
    """An archive does not hold what its manifest says."""

    code = "ArchiveCorrupt"


class UncleanArchiveError(ArchiveError):
    """The source changed or was unreadable while it was archived; archive and source are both kept."""

    code = "ArchiveUnclean"


class PersistentlyUncleanError(UncleanArchiveError):
    """It happened again and again: waiting does not mend it."""

    code = "ArchivePersistentlyUnclean"


class RestoreTargetError(MetricsStorageError):
    """The directory for a restored archive is in use, on the quarantine volume or too small; nothing was restored."""

    code = "RestoreTargetUnusable"


class UnacceptableLossError(MetricsStorageError):
    """A person may not accept this as lost: nothing is, or nobody can say what."""

    code = "LossUnacceptable"


class InterruptedByEndError(MetricsStorageError):
    """Long work was ended because its process ends; nothing is lost, and the next start goes on with it."""

    code = "Interrupted"


class NodeUnavailableError(MetricsStorageError):
    """The agent of a node cannot be asked now; what it knows is unknown, which is not the same as nothing."""

    code = "NodeUnavailable"


class NodeLostError(NodeUnavailableError):
    """A node, or its agent, has been away for so long that a person must say whether it comes back."""

    code = "NodeLost"


class StaleEpochError(MetricsStorageError):
    """A controller has been replaced by a later one, and may not ask for anything any more."""

    code = "StaleEpoch"


class ConflictError(MetricsStorageError):
    """A Kubernetes object of the needed name belongs to somebody else."""

    code = "Conflict"


class ClaimInUseError(MetricsStorageError):
    """A claim is being deleted but not gone yet, because Pods use it."""

    code = "ClaimInUse"


class ObjectChangedError(MetricsStorageError):
    """An object is not any more what was acted upon: gone, another of its name, or no longer being deleted."""

    code = "ObjectChanged"


class KubernetesError(MetricsStorageError):
    """The Kubernetes API refused or did not answer a request; `status` is the HTTP status, None without one."""

    code = "RequestFailed"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the API server understood the request and will not carry it out, as a policy or quota wants it."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _PASSING_STATUSES


class PersistentlyRefusedError(KubernetesError):
    """The API server refused the same work again and again: waiting does not mend it."""

    code = "RequestRefused"


class CreateMetricsStorageError(MetricsStorageError):
    """The storage of a runner could not be created, or exists already."""

    code = "CreateFailed"


class GetMetricsStorageError(MetricsStorageError):
    """The storage of a runner does not exist or could not be read."""

    code = "GetFailed"


class DeleteMetricsStorageError(MetricsStorageError):
    """The storage of a runner could not be deleted."""

    code = "DeleteFailed"


class QuarantineMetricsStorageError(MetricsStorageError):
    """The storage of a runner could not be archived; it was not deleted."""

    code = "QuarantineFailed"
