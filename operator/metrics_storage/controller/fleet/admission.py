"""Whether an agent may speak for the storage volume that it says: a volume and a node belong together for good.

A node that is compromised could otherwise answer for the volume of another one that is away; and a node whose disk is
not mounted would look like one that never had anything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from metrics_storage.controller.fleet.agents import AgentPod
from metrics_storage.errors import NodeUnavailableError
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid

NodeExists = Callable[[str, Uid], Awaitable[bool]]
"""Whether there is a Node of this name and uid now.

Raises:
    MetricsStorageError: that cannot be found out now.
"""


class BindingStore(Protocol):
    """Where bindings are kept; all but `record` answers from memory."""

    def of_volume(self, volume_id: Uid) -> Binding | None:
        """The binding of a storage volume, None where it was never seen."""

    def of_node(self, node_uid: Uid) -> Sequence[Binding]:
        """The bindings of a node: of the volume that it has, and of those that it had and were given up."""

    def record(self, binding: Binding) -> None:
        """Bind a storage volume to a node, in place of its former one."""


class ReleaseStore(Protocol):
    """Where it is kept what was given up because its node did not come back; each call reads the disk."""

    def has_any(self, uids_and_volumes: Iterable[Uid]) -> bool:
        """Whether one of these uids or volumes was given up."""

    def withdraw(self, uids_and_volumes: Iterable[Uid]) -> None:
        """Have none of them given up any more."""


class Admission:
    """Remembers which node each volume was seen on."""

    def __init__(self, bindings: BindingStore, releases: ReleaseStore, exists: NodeExists) -> None:
        self._bindings = bindings
        self._releases = releases
        self._exists = exists
        self._deciding = asyncio.Lock()

    async def admit(self, pod: AgentPod, volume_id: Uid, uids: Iterable[Uid] = ()) -> None:
        """Take a volume that was never seen, from a node that has none; and one that is seen again on its node.

        A Node object that was made anew, with the disk of the one that had its name and is gone, has that volume.
        What was given up and is back, the volume or one of the `uids` in its journal, is given up no longer.

        Raises:
            NodeUnavailableError: the volume is another node's, or the node's volume is another one.
            MetricsStorageError: that cannot be found out, or recorded, now.
        """
        async with self._deciding:
            await self._admit(pod, volume_id)
            await asyncio.to_thread(self._releases.withdraw, (volume_id, *uids))

    async def admit_new(self, pod: AgentPod) -> None:
        """Let a node begin with an empty volume, which it may while no volume of it was ever seen, or it was given up.

        Raises:
            NodeUnavailableError: it has one.
            MetricsStorageError: that cannot be found out now.
        """
        other = await self._volume_of(pod)
        if other is not None:
            raise NodeUnavailableError(
                f"the storage volume of node {pod.node} is {other.volume_id}, and its agent has an empty directory: is "
                f"the disk not mounted, or replaced? {_instead_of(other)}"
            )

    async def _admit(self, pod: AgentPod, volume_id: Uid) -> None:
        known = self._bindings.of_volume(volume_id)
        is_its_own = known is not None and known.node_uid == pod.node_uid
        if (
            known is not None
            and not is_its_own
            and (known.node != pod.node or await self._exists(known.node, known.node_uid))
        ):
            raise NodeUnavailableError(
                f"storage volume {volume_id} is that of node {known.node} (uid {known.node_uid}), not of {pod.node} "
                f"(uid {pod.node_uid}): was a disk moved or copied? Put it back"
            )
        other = await self._volume_of(pod, but=volume_id)
        if other is not None:
            raise NodeUnavailableError(
                f"the storage volume of node {pod.node} is {other.volume_id}, and its agent has {volume_id}: is the "
                f"disk not mounted, or replaced? {_instead_of(other)}"
            )
        if not is_its_own:
            await asyncio.to_thread(self._bindings.record, Binding(volume_id, pod.node, pod.node_uid))

    async def _volume_of(self, pod: AgentPod, *, but: Uid | None = None) -> Binding | None:
        """The binding of the volume that a node has, other than `but` and than those that were given up."""
        for binding in self._bindings.of_node(pod.node_uid):
            if binding.volume_id != but and not await asyncio.to_thread(self._releases.has_any, [binding.volume_id]):
                return binding
        return None


def _instead_of(missing: Binding) -> str:
    """What to do where a node has another volume than before."""
    return (
        "Mount the right one. If it is lost, say so in the controller's Pod by metrics-storage accept-loss --volume "
        f"{missing.volume_id}"
    )
