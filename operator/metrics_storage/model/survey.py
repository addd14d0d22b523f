"""What one look at a whole storage volume found, as a value."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from metrics_storage.model.identity import Uid
from metrics_storage.model.usage import Usage


@dataclass(frozen=True, slots=True)
class Provided:
    """A directory that is in its place: in words what had to be repaired, and its usage, None where that takes long."""

    repairs: tuple[str, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that a journal has an entry of, and what of it is provided and in its place, quarantine aside.

    What is in `uids` and not in `provided` has to be asked for itself.
    """

    uids: Collection[Uid]
    provided: Mapping[Uid, Provided]
