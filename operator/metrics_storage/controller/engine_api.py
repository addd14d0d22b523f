"""What the controller asks of an engine.

Small and asynchronous, so that an engine on another node can stand behind it too. Nothing else of the controller
knows what an engine is made of.
"""

from collections.abc import Collection
from typing import Protocol

from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Ensured, Record
from metrics_storage.model.scrubbing import Finding, ScrubState
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.usage import Usage


class Engine(Protocol):
    """The life of storage directories; `StorageEngine` says what each step means and raises."""

    async def find(self, uid: Uid) -> Record | None:
        """What is known about a uid."""

    async def uids(self) -> Collection[Uid]:
        """Every uid that something is known about."""

    async def ensure(self, identity: Identity, spec: StorageSpec) -> Ensured:
        """Make the directory, or see that it is there and as it should be."""

    async def latch(self, identity: Identity, reason: str, requested_at: str) -> Record:
        """Take a request for quarantine, for good."""

    async def snapshot(self, identity: Identity) -> Record:
        """Archive the directory of a latched quarantine although it is still in use, once."""

    async def archive(self, identity: Identity) -> Record:
        """Archive the directory of a latched quarantine, once nobody uses it any more."""

    async def condemn(self, identity: Identity) -> Record:
        """Take the directory away, quickly and for good."""

    async def remove(self, identity: Identity) -> Record:
        """Remove what was condemned, however long that takes."""

    async def retain(self, identity: Identity) -> Record:
        """Leave the directory to its owner."""

    async def check_never_made(self, identity: Identity, *, claimed: bool) -> None:
        """See that a uid that nothing is known about has nothing to lose."""

    async def forget(self, uid: Uid) -> None:
        """Drop what is known about a uid whose life is over."""

    async def measure(self, identity: Identity) -> Usage | None:
        """Usage of the directory."""


class Scrubber(Protocol):
    """Reads the archives of a quarantine volume again, one after the other, at a pace of its own."""

    @property
    def state(self) -> ScrubState:
        """How far it is, as far as that is known here."""

    async def count(self) -> None:
        """Look at what is there, without reading any of it."""

    async def begin_round(self) -> None:
        """Begin a round, or go on with the one that was interrupted."""

    async def step(self) -> Finding | None:
        """Read the next archive of the round; None when the round is over."""
