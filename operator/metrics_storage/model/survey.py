"""What one look at a whole storage volume found, as a value."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from metrics_storage.model.identity import Uid
from metrics_storage.model.usage import Usage


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that a journal has an entry of, and the usage of what is provided, in its place, not in quarantine.

    What is in `uids` and not in `provided` has to be asked for itself.
    """

    uids: Collection[Uid]
    provided: Mapping[Uid, Usage]
