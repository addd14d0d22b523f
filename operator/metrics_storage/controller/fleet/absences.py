"""Nodes that do not come back: for how long their agents are away, and whether their Nodes are gone."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from metrics_storage.controller.fleet.admission import BindingStore, NodeExists, ReleaseStore
from metrics_storage.controller.fleet.agents import Agents
from metrics_storage.errors import NodeLostError
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid

LOST_AFTER: Final = 600.0
"""Seconds after which a person is called for an agent that is away."""

_LOOK_EVERY: Final = 10.0
"""Seconds for which an answer about a Node is good: all that is on one asks at about the same time."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A storage volume that is not expected back by itself.

    `node_gone_for` is in seconds, from the first to the last look that did not find its Node; None where it is there.
    """

    error: NodeLostError
    node_gone_for: float | None


@dataclass(frozen=True, slots=True)
class _Look:
    """When a Node was last asked for, and which look was the first of those that did not find it; both monotonic."""

    at: float
    gone_since: float | None

    @property
    def gone_for(self) -> float | None:
        return None if self.gone_since is None else self.at - self.gone_since


class Absences:
    """The storage volumes whose agents are not connected."""

    def __init__(
        self,
        agents: Agents,
        bindings: BindingStore,
        releases: ReleaseStore,
        exists: NodeExists,
        *,
        accept_loss_after: float = 0,
    ) -> None:
        """What is on a volume, evidence aside, is given up `accept_loss_after` seconds after its Node is gone.

        Nothing is with 0.
        """
        self._agents = agents
        self._bindings = bindings
        self._releases = releases
        self._exists = exists
        self._accept_loss_after = accept_loss_after
        self._looks: dict[Binding, _Look] = {}

    async def loss_of(self, volume_id: Uid, *, known: bool = False) -> Loss | None:
        """What a person is to be told of a volume; None where its agent is connected, or may well come back.

        `known` says that a person was told already: that stands until the agent is connected.

        Raises:
            MetricsStorageError: whether its Node is there cannot be found out now.
        """
        away = self._agents.seconds_away(volume_id)
        if not away:
            return None
        binding = self._bindings.of_volume(volume_id)
        gone_for = (await self._look_at(binding)).gone_for if binding else None
        is_lost = gone_for is not None or known or away > LOST_AFTER
        if not is_lost or not self._agents.seconds_away(volume_id):
            return None
        return Loss(NodeLostError(_told(volume_id, binding, gone=gone_for is not None)), gone_for)

    async def is_given_up(self, volume_id: Uid, uid: Uid, *, evidence: bool) -> bool:
        """Whether the directory of a uid on a volume is given up; `evidence` is by a person alone.

        Raises:
            MetricsStorageError, OSError: that cannot be found out now.
        """
        loss = await self.loss_of(volume_id)
        if loss is None:
            return False
        is_released = await asyncio.to_thread(self._releases.has_any, (uid, volume_id))
        if not self._agents.seconds_away(volume_id):
            return False  # It came back at this moment.
        if is_released:
            return True
        if evidence or not self._accept_loss_after or loss.node_gone_for is None:
            return False
        return loss.node_gone_for >= self._accept_loss_after

    async def are_there(self, uids_and_volumes: Iterable[Uid]) -> None:
        """Have none of these given up any more: a word that was said of what is connected does not count later."""
        await asyncio.to_thread(self._releases.withdraw, uids_and_volumes)

    async def _look_at(self, binding: Binding) -> _Look:
        look = self._looks.get(binding)
        if look is None or time.monotonic() - look.at > _LOOK_EVERY:
            exists = await self._exists(binding.node, binding.node_uid)
            at = time.monotonic()
            gone_before = look.gone_since if look else None
            look = self._looks[binding] = _Look(at, None if exists else gone_before or at)
        return look


def _told(volume_id: Uid, binding: Binding | None, *, gone: bool) -> str:
    node = f"node {binding.node} (uid {binding.node_uid})" if binding else "a node that the vault does not know"
    why = "is gone" if gone else f"has had no connected agent for more than {LOST_AFTER / 60:g} minutes"
    return (
        f"{node}, which has storage volume {volume_id}, {why}: bring it or its disk back. If it is lost, say so in the "
        f"controller's Pod by metrics-storage accept-loss --volume {volume_id}, and what is on it can be deleted"
    )
