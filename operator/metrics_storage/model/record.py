"""One journal entry as a value: what is known about the directory of one uid, and how far its life has come.

Fields that a newer version wrote are carried along at every level (`unknown`), and stand in the entry again when it
is written. What they describe ends with the object that they stand in: another archive begins without any.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, Self

from metrics_storage.errors import InvalidSpecError, JournalError
from metrics_storage.model.identity import Identity
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.unknown_fields import unknown_fields, with_unknown

_FORMAT: Final = 1


class Phase(StrEnum):
    """How far a directory's life has come; each value is written before the next step begins.

    ```
    Provisioning ─ Provisioned ─┬─ Frozen ─ Verified ─┬─ Condemned ─ Gone
                                ├─────────────────────┘
                                └─ Retained
    ```
    """

    PROVISIONING = "Provisioning"
    """It may have been made."""
    PROVISIONED = "Provisioned"
    """It was made, and is the runner's."""
    FROZEN = "Frozen"
    """It is out of everybody's reach, to be archived."""
    VERIFIED = "Verified"
    """A committed archive was read back and found to hold all of it."""
    CONDEMNED = "Condemned"
    """It is in the trash and may be removed."""
    GONE = "Gone"
    """It was removed."""
    RETAINED = "Retained"
    """It was left to its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A committed archive and its manifest; sizes in bytes, `path` relative to the quarantine volume.

    Digests are hexadecimal. That of the manifest stands here because nothing else outside it vouches for it.
    """

    path: str
    sha256: str
    manifest_sha256: str
    size_bytes: int
    payload_bytes: int
    files: int
    clean: bool
    completed_at: str
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A latched request for quarantine and what has come of it; times are RFC 3339 in UTC.

    `archive` is the one that the source may be removed for; `provisional` one that is known to be incomplete.
    `unclean` counts the attempts at a final archive that were not clean. `accepted_losses` is the digest of what
    `archive` lacks and a person accepted as lost.
    """

    reason: str
    requested_at: str
    attempt: int = 0
    unclean: int = 0
    accepted_losses: str | None = None
    archive: Archive | None = None
    provisional: Archive | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A journal entry. `inode` is None until the directory was made.

    `token` is an attribute of the directory that a copy of it carries; None in entries older than tokens.
    `had_content` is None until usage was measured; it decides whether a vanished directory is a loss.
    """

    identity: Identity
    spec: StorageSpec
    phase: Phase = Phase.PROVISIONING
    inode: int | None = None
    token: str | None = None
    had_content: bool | None = None
    quarantine: Quarantine | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @property
    def has_unclean_archive(self) -> bool:
        """An archive that is not clean is recorded."""
        return self.quarantine is not None and self.quarantine.provisional is not None

    @property
    def must_be_archived(self) -> bool:
        """A quarantine is latched, and no verified archive exists yet."""
        return self.quarantine is not None and self.phase in (
            Phase.PROVISIONING,
            Phase.PROVISIONED,
            Phase.FROZEN,
        )

    def at(self, phase: Phase) -> Self:
        """The same record in another phase."""
        return replace(self, phase=phase)

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold; `from_json` reads them back."""
        known = {
            "format": _FORMAT,
            "identity": {"namespace": self.identity.namespace, "name": self.identity.name, "uid": self.identity.uid},
            "spec": self.spec.to_json(),
            "phase": self.phase,
            "inode": self.inode,
            "token": self.token,
            "hadContent": self.had_content,
            "quarantine": _dump(self.quarantine),
        }
        return with_unknown(known, self.unknown)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what `to_json` gave.

        Raises:
            JournalError: another format, or anything missing or odd; such an entry must be kept as it is.
        """
        if not isinstance(data, Mapping):
            raise JournalError(f"malformed: expected an object, found {type(data).__name__}")
        if data.get("format") != _FORMAT:
            raise JournalError(f"format {data.get('format')!r} is not {_FORMAT}: written by another version?")
        try:
            record = cls(
                identity=Identity(**_known(Identity, data["identity"])),
                spec=StorageSpec.from_json(_known(StorageSpec, data["spec"])),
                phase=Phase(data["phase"]),
                inode=data["inode"],
                token=data.get("token"),
                had_content=data["hadContent"],
                quarantine=_quarantine(data["quarantine"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, InvalidSpecError) as exc:
            raise JournalError(f"malformed: {exc!r}") from exc
        unknown = unknown_fields(data, record.to_json())
        return replace(record, unknown=unknown) if unknown else record


_NAMES: Final = {
    each: frozenset(field.name for field in fields(each)) - {"unknown"}
    for each in (Identity, StorageSpec, Quarantine, Archive)
}
"""The fields of each part of an entry that this version knows."""


@dataclass(frozen=True, slots=True)
class Ensured:
    """A provisioned directory, and in words what had to be repaired."""

    record: Record
    repairs: tuple[str, ...] = ()


def _known(cls: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `data` that this version's class has."""
    names = _NAMES[cls]
    return {name: value for name, value in data.items() if name in names}


def _quarantine(data: Mapping[str, Any] | None) -> Quarantine | None:
    if data is None:
        return None
    known = _known(Quarantine, data)
    archives = {name: _archive(data.get(name)) for name in ("archive", "provisional")}
    return Quarantine(**known | archives, unknown=unknown_fields(data, known))


def _archive(data: Mapping[str, Any] | None) -> Archive | None:
    if data is None:
        return None
    known = _known(Archive, data)
    return Archive(**known, unknown=unknown_fields(data, known))


def _dump(value: Quarantine | Archive | None) -> dict[str, Any] | None:
    if value is None:
        return None
    values = ((each.name, getattr(value, each.name)) for each in fields(value) if each.name != "unknown")
    known = {name: _dump(item) if isinstance(item, Archive) else item for name, item in values}
    return with_unknown(known, value.unknown)
