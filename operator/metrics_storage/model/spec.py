"""What a MetricsStorage asks for, read from its `spec` and checked as strictly as the CRD's schema does.

API servers that do not enforce CEL let through what the schema forbids, so every rule stands here too.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from metrics_storage.constants import ACCESS_MODES, CAPACITY, DIRECTORY_MODE, FILESYSTEM_OWNER
from metrics_storage.errors import InvalidSpecError

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:[KMGTPE]i|[kMGTPE])?")
_KNOWN_ACCESS_MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")
_MODE: Final = re.compile(r"[0-3]?[0-7]{3}")
_OWNER_PART: Final = re.compile(r"0|[1-9][0-9]{0,9}|[a-z_][a-z0-9_-]{0,31}")
_ID_MAX: Final = 2**32 - 2
"""Largest user or group id: 2**32 - 1 means "leave unchanged" to chown(2)."""


class DeletionPolicy(StrEnum):
    """What becomes of the directory when its MetricsStorage is deleted."""

    DELETE = "Delete"
    QUARANTINE = "Quarantine"
    RETAIN = "Retain"


class VolumeBindingMode(StrEnum):
    """When it is decided on which node a directory is made, where there are many."""

    IMMEDIATE = "Immediate"
    WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """The immutable part of a spec: how storage is provisioned.

    `capacity` is a Kubernetes quantity, `owner` is `user:group` (each a number or a name of the machine on
    which the directory is made), `mode` is octal.
    """

    capacity: str = CAPACITY
    access_modes: tuple[str, ...] = ACCESS_MODES
    owner: str = FILESYSTEM_OWNER
    mode: str = DIRECTORY_MODE

    def __post_init__(self) -> None:
        quantity = _QUANTITY.fullmatch(self.capacity)
        if not quantity or Decimal(quantity[1]) <= 0:
            raise InvalidSpecError(f"spec.capacity {self.capacity!r} is not a positive quantity such as 1Gi")
        unknown = [mode for mode in self.access_modes if mode not in _KNOWN_ACCESS_MODES]
        if not self.access_modes or unknown or len(set(self.access_modes)) != len(self.access_modes):
            raise InvalidSpecError(
                f"spec.accessModes {list(self.access_modes)} must list each wanted mode once, out of "
                + ", ".join(_KNOWN_ACCESS_MODES)
            )
        split_owner(self.owner)
        if not _MODE.fullmatch(self.mode):
            raise InvalidSpecError(
                f"spec.directory.mode {self.mode!r} is not octal from 000 to 3777 such as 0770 "
                "(a directory has no use for setuid)"
            )

    @property
    def mode_bits(self) -> int:
        """Permission bits of the directory."""
        return int(self.mode, 8)

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold; `from_json` reads them back."""
        return {"capacity": self.capacity, "access_modes": self.access_modes, "owner": self.owner, "mode": self.mode}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "StorageSpec":
        """Read what `to_json` gave."""
        # Most storages of a volume ask for the same, which is checked once.
        return _checked(**{**data, "access_modes": tuple(data["access_modes"])})


@functools.lru_cache(maxsize=256)
def _checked(**values: Any) -> StorageSpec:
    return StorageSpec(**values)


def split_owner(owner: str) -> tuple[str | int, str | int]:
    """Split `user:group` into two parts, numbers as int and names as str.

    Raises:
        InvalidSpecError: not two parts, or a part that is neither an id that fits nor a POSIX user name.
    """
    parts = owner.split(":")
    if len(parts) != 2 or not all(_OWNER_PART.fullmatch(part) for part in parts):
        raise InvalidSpecError(f"spec.directory.owner {owner!r} is not user:group such as {FILESYSTEM_OWNER}")
    user, group = (int(part) if part.isdigit() else part for part in parts)
    if any(isinstance(part, int) and part > _ID_MAX for part in (user, group)):
        raise InvalidSpecError(f"spec.directory.owner {owner!r}: ids go up to {_ID_MAX}")
    return user, group


def parse_spec(spec: Mapping[str, Any]) -> tuple[StorageSpec, DeletionPolicy]:
    """Read the `spec` of a MetricsStorage, filling in the defaults.

    Raises:
        InvalidSpecError: a value has the wrong type or is out of its bounds; the message names the field.
    """
    directory = _typed(spec, "directory", Mapping, {})
    capacity = spec.get("capacity", CAPACITY)
    storage = StorageSpec(
        capacity=str(capacity) if isinstance(capacity, (str, int)) else _refuse("spec.capacity", capacity),
        access_modes=_access_modes(_typed(spec, "accessModes", list, list(ACCESS_MODES))),
        owner=_typed(directory, "owner", str, FILESYSTEM_OWNER),
        mode=_typed(directory, "mode", str, DIRECTORY_MODE),
    )
    return storage, parse_policy(spec)


def parse_policy(spec: Mapping[str, Any]) -> DeletionPolicy:
    """Read the deletion policy alone, which must be possible whatever else the `spec` says.

    Raises:
        InvalidSpecError: it is none of the three.
    """
    policy = spec.get("deletionPolicy", DeletionPolicy.DELETE)
    if policy not in list(DeletionPolicy):
        raise InvalidSpecError(f"spec.deletionPolicy {policy!r} must be one of {', '.join(DeletionPolicy)}")
    return DeletionPolicy(policy)


def parse_binding_mode(spec: Mapping[str, Any]) -> VolumeBindingMode:
    """Read when the node is chosen.

    Raises:
        InvalidSpecError: it is none of both.
    """
    mode = spec.get("volumeBindingMode", VolumeBindingMode.IMMEDIATE)
    if mode not in list(VolumeBindingMode):
        raise InvalidSpecError(f"spec.volumeBindingMode {mode!r} must be one of {', '.join(VolumeBindingMode)}")
    return VolumeBindingMode(mode)


def parse_node_selector(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """Read the labels that a node must have for the directory to be made there; empty where any will do.

    Raises:
        InvalidSpecError: it is no object of strings.
    """
    selector = _typed(spec, "nodeSelector", Mapping, {})
    if not all(isinstance(part, str) for item in selector.items() for part in item):
        raise InvalidSpecError(f"spec.nodeSelector {dict(selector)} must have strings as names and values of labels")
    return dict(selector)


def check_unchanged(provisioned: StorageSpec, wanted: StorageSpec) -> None:
    """Refuse a change of what is immutable in v1.

    Raises:
        InvalidSpecError: names each changed field, the value in force and how to get another one.
    """
    old, new = provisioned.to_json(), wanted.to_json()
    changed = [
        f"{field} is {old[field]!r} and cannot become {new[field]!r}" for field in old if old[field] != new[field]
    ]
    if changed:
        raise InvalidSpecError(
            f"immutable: {'; '.join(changed)}. Set it back, or delete the MetricsStorage and create it anew."
        )


def _access_modes(modes: list[Any]) -> tuple[str, ...]:
    """In one order, because for the API server they are a set."""
    return tuple(sorted(mode if isinstance(mode, str) else _refuse("spec.accessModes", mode) for mode in modes))


def _typed(values: Mapping[str, Any], key: str, kind: type[Any], default: Any) -> Any:
    value = values.get(key, default)
    return value if isinstance(value, kind) else _refuse(f"spec…{key}", value)


def _refuse(field: str, value: object) -> Any:
    raise InvalidSpecError(f"{field} has a value of the wrong type: {value!r}")
