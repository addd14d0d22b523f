"""The agents that are connected: what is asked of them, and what they answer."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hmac import compare_digest

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.messages import read_failure
from metrics_storage.errors import NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid


@dataclass(frozen=True, slots=True)
class AgentPod:
    """The Pod that an agent runs in, as its token proves it, and the labels that its node had then."""

    node: str
    node_uid: Uid
    name: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


class Agent:
    """One connected agent. Calls that it has not answered when the connection ends have an unknown outcome."""

    def __init__(
        self, pod: AgentPod, volume_id: Uid, epoch: int, *, uids: Iterable[Uid] = (), free_bytes: int = 0
    ) -> None:
        self.uids = set(uids)
        """What its journal has an entry of, and what is to be there soon."""
        self.free_bytes = free_bytes
        self.pod = pod
        self.volume_id = volume_id
        self._epoch = epoch
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[pb.Result]] = {}
        self._outgoing: asyncio.Queue[pb.Call] = asyncio.Queue()
        self._reason = ""
        self.session = secrets.token_hex()
        """What streams to the vault show, so that nobody else's are taken for this agent's."""
        self._subjects: Counter[Identity] = Counter()
        self.ended = asyncio.Event()
        """Set once the connection is over, or is to be ended."""

    async def ask(self, call: pb.Call) -> pb.Result:
        """Have a step carried out on the node.

        Raises:
            NodeUnavailableError: the connection ended first; whether the step was carried out is not known.
            MetricsStorageError, OSError: what went wrong there.
        """
        if self.ended.is_set():
            raise self._unavailable()
        call.id, call.epoch = next(self._numbers), self._epoch
        future: asyncio.Future[pb.Result] = asyncio.get_running_loop().create_future()
        self._waiting[call.id] = future
        self._outgoing.put_nowait(call)
        try:
            result = await future
        finally:
            self._waiting.pop(call.id, None)
        if result.WhichOneof("outcome") == "failure":
            raise read_failure(result.failure)
        return result

    @contextmanager
    def archiving(self, identity: Identity) -> Iterator[None]:
        """A step that may write archives of this runner, or read them."""
        self._subjects[identity] += 1
        try:
            yield
        finally:
            self._permit_no_more(identity)

    def _permit_no_more(self, identity: Identity) -> None:
        self._subjects[identity] -= 1
        if not self._subjects[identity]:
            del self._subjects[identity]

    def subject(self, uid: str) -> Identity | None:
        """Whose archives the agent may write or read now, by the uid that it says: who was asked for, or nobody."""
        return next((identity for identity in self._subjects if identity.uid == uid), None)

    async def next_call(self) -> pb.Call:
        """The next call to be sent."""
        return await self._outgoing.get()

    def take(self, result: pb.Result) -> None:
        """Hand a result to who waits for it; nobody may, any more."""
        future = self._waiting.get(result.id)
        if future is not None and not future.done():
            future.set_result(result)

    def end(self, reason: str) -> None:
        """The connection is over, or is to be ended now; who waits is told."""
        if self.ended.is_set():
            return
        self._reason = reason
        self.ended.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._unavailable())

    def _unavailable(self) -> NodeUnavailableError:
        return NodeUnavailableError(f"the agent of node {self.pod.node} is not connected: {self._reason}")


class Agents:
    """All connected agents, by the id of their storage volume."""

    def __init__(self) -> None:
        self._agents: dict[Uid, Agent] = {}
        self._away: dict[Uid, float] = {}
        self._began = time.monotonic()

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._agents.values()))

    def seconds_away(self, volume_id: Uid) -> float:
        """For how long an agent has not been connected, 0 where it is."""
        if volume_id in self._agents:
            return 0.0
        return time.monotonic() - self._away.get(volume_id, self._began)

    def end(self, reason: str) -> None:
        """End all connections."""
        for agent in self._agents.values():
            agent.end(reason)

    def get(self, volume_id: Uid) -> Agent | None:
        """The agent of a storage volume, None where it is not connected."""
        return self._agents.get(volume_id)

    def of(self, volume_id: Uid) -> Agent:
        """The agent of a storage volume.

        Raises:
            NodeUnavailableError: it is not connected.
        """
        agent = self._agents.get(volume_id)
        if agent is None:
            raise NodeUnavailableError(f"the agent of storage volume {volume_id} is not connected")
        return agent

    def of_session(self, session: str) -> Agent | None:
        """The agent whose connection has this session."""
        return next((each for each in self._agents.values() if compare_digest(each.session, session)), None)

    def add(self, agent: Agent) -> None:
        """Take a connection; an earlier one with the same volume is over."""
        if before := self._agents.get(agent.volume_id):
            before.end("it has connected anew")
        self._agents[agent.volume_id] = agent

    def remove(self, agent: Agent, reason: str) -> None:
        """The connection is over."""
        agent.end(reason)
        if self._agents.get(agent.volume_id) is agent:
            del self._agents[agent.volume_id]
            self._away[agent.volume_id] = time.monotonic()
