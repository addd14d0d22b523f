"""Who a storage directory belongs to, and the only names on disk that are ever built from it.

Names come from the API server alone and are validated again here, because a path is built from them.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Final

from metrics_storage.errors import InvalidSpecError

ARCHIVE_SUFFIX: Final = ".tar.gz"
MANIFEST_SUFFIX: Final = ".manifest.jsonl"

NAME_MAX: Final = 255
"""Longest file name in bytes that the usual file systems take (POSIX NAME_MAX)."""

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_MAX: Final = 253
_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STEM: Final = re.compile(rf"(?P<name>[a-z0-9][-.a-z0-9]*)_(?P<uid>{_UID.pattern})_(?P<attempt>[1-9][0-9]{{0,8}})")


class Uid(str):
    """The `metadata.uid` of a MetricsStorage, from which names of files are made; an instance is always valid.

    Raises:
        InvalidSpecError: it is not what a Kubernetes API server would have issued, a lower-case UUID.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Uid":
        if not _UID.fullmatch(text):
            raise InvalidSpecError(f"uid {text!r} is not a lower-case UUID")
        return super().__new__(cls, text)

    @staticmethod
    def new() -> "Uid":
        """One that nobody has."""
        return Uid(str(uuid.uuid4()))

    @staticmethod
    def parse(text: str) -> "Uid | None":
        """Read a label, a file name or whatever else may be anything; None where it is no uid."""
        return Uid(text) if _UID.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Identity:
    """Namespace, name and uid of one MetricsStorage; an instance is always valid.

    Raises:
        InvalidSpecError: a part is not what the Kubernetes API server would have issued (RFC 1123 label,
            RFC 1123 subdomain, lower-case UUID).
    """

    namespace: str
    name: str
    uid: Uid

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.namespace):
            raise InvalidSpecError(f"namespace {self.namespace!r} is not an RFC 1123 label")
        if len(self.name) > _SUBDOMAIN_MAX or not _SUBDOMAIN.fullmatch(self.name):
            raise InvalidSpecError(
                f"name {self.name!r} is not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', "
                f"beginning and ending with a letter or digit, at most {_SUBDOMAIN_MAX} characters"
            )
        if not isinstance(self.uid, Uid):  # What was read from JSON has no types.
            object.__setattr__(self, "uid", Uid(self.uid))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.uid})"

    @property
    def directory_name(self) -> str:
        """Name of the live directory below the namespace's: the name cut to fit, the uid whole."""
        end = f"_{self.uid}"
        return self.name[: NAME_MAX - len(end)] + end

    @property
    def relative_path(self) -> str:
        """Path of the live directory relative to the storage volume."""
        return f"{self.namespace}/{self.directory_name}"

    @property
    def volume_name(self) -> str:
        """Name of the PersistentVolume."""
        return f"ms-{self.uid}"


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """What an archive and its manifest are called on a quarantine volume; `attempt` is 1 or more.

    `name` may be cut where the runner's is very long.
    """

    namespace: str
    name: str
    uid: Uid
    attempt: int

    @staticmethod
    def of(identity: Identity, attempt: int) -> "ArchiveName":
        """The name of an attempt at an archive, cut to fit the longer of its two files."""
        end = f"_{identity.uid}_{attempt}"
        room = NAME_MAX - len(end) - max(len(ARCHIVE_SUFFIX), len(MANIFEST_SUFFIX))
        return ArchiveName(identity.namespace, identity.name[:room], identity.uid, attempt)

    @staticmethod
    def parse(namespace: str, file: str) -> "ArchiveName | None":
        """Read the name of either file, or what both have in common; None where it is no archive's."""
        match = _STEM.fullmatch(file.removesuffix(ARCHIVE_SUFFIX).removesuffix(MANIFEST_SUFFIX))
        return ArchiveName(namespace, match["name"], Uid(match["uid"]), int(match["attempt"])) if match else None

    @property
    def stem(self) -> str:
        """What the names of both files have in common."""
        return f"{self.name}_{self.uid}_{self.attempt}"

    @property
    def files(self) -> tuple[str, str]:
        """Names of the archive and of its manifest below the namespace's directory."""
        return self.stem + ARCHIVE_SUFFIX, self.stem + MANIFEST_SUFFIX

    @property
    def path(self) -> str:
        """Path of the archive relative to the quarantine volume, as `status.quarantine.archive` has it."""
        return f"{self.namespace}/{self.files[0]}"
