"""Who a storage directory belongs to, and the only names on disk that are ever built from it.

Names come from the API server alone and are validated again here, because a path is built from them.
"""

import re
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


@dataclass(frozen=True, slots=True)
class Identity:
    """Namespace, name and uid of one MetricsStorage; an instance is always valid.

    Raises:
        InvalidSpecError: a part is not what the Kubernetes API server would have issued (RFC 1123 label,
            RFC 1123 subdomain, lower-case UUID).
    """

    namespace: str
    name: str
    uid: str

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.namespace):
            raise InvalidSpecError(f"namespace {self.namespace!r} is not an RFC 1123 label")
        if len(self.name) > _SUBDOMAIN_MAX or not _SUBDOMAIN.fullmatch(self.name):
            raise InvalidSpecError(
                f"name {self.name!r} is not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', "
                f"beginning and ending with a letter or digit, at most {_SUBDOMAIN_MAX} characters"
            )
        if not is_uid(self.uid):
            raise InvalidSpecError(f"uid {self.uid!r} is not a lower-case UUID")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.uid})"

    @property
    def directory_name(self) -> str:
        """Name of the live directory below the namespace's: the name cut to fit, the uid whole."""
        return _fit(self.name, f"_{self.uid}")

    def archive_names(self, attempt: int) -> tuple[str, str]:
        """Names of the archive and the manifest of an attempt (1 or more) below the namespace's directory."""
        longest = max(len(ARCHIVE_SUFFIX), len(MANIFEST_SUFFIX))
        stem = _fit(self.name, f"_{self.uid}_{attempt}", reserve=longest)
        return stem + ARCHIVE_SUFFIX, stem + MANIFEST_SUFFIX

    @property
    def volume_name(self) -> str:
        """Name of the PersistentVolume."""
        return f"ms-{self.uid}"


def is_uid(text: str) -> bool:
    """Whether this is a uid as API servers issue them: a lower-case UUID."""
    return _UID.fullmatch(text) is not None


def _fit(name: str, suffix: str, reserve: int = 0) -> str:
    return name[: NAME_MAX - len(suffix) - reserve] + suffix
