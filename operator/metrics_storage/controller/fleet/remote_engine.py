"""The engine of another node, behind the controller's protocol of one."""

import asyncio
from collections.abc import Collection
from typing import Final

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.messages import read_record, read_survey, read_usage, write_identity, write_spec
from metrics_storage.controller.fleet.agents import Agents
from metrics_storage.errors import NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Ensured, Record
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.survey import Survey
from metrics_storage.model.usage import Usage

_TIMEOUT: Final = 60.0
"""Seconds for a step that takes milliseconds on a sound disk. Its agent may have hung: the connection does not tell."""

_LONG: Final = frozenset({"snapshot", "archive", "condemn", "remove"})
"""Steps that take as long as there are bytes and entries; these wait for the end of the connection alone."""


class RemoteEngine:
    """The engine on one storage volume, wherever its agent is connected from.

    Every step raises NodeUnavailableError where the agent is not connected, or is not any more before it answers:
    never is that taken for "there is nothing". Otherwise it raises what the engine raises there.
    """

    def __init__(self, agents: Agents, volume_id: Uid) -> None:
        self._agents = agents
        self._volume_id = volume_id

    async def find(self, uid: Uid) -> Record | None:
        result = await self._ask(pb.Call(find=pb.Find(uid=uid)), "entry", "nothing")
        if result.WhichOneof("outcome") == "nothing":
            return None
        return _entry(result, uid)

    async def uids(self) -> Collection[Uid]:
        result = await self._ask(pb.Call(uids=pb.Uids()), "uids")
        found = map(Uid.parse, result.uids.uids)
        return [uid for uid in found if uid is not None]

    async def ensure(self, identity: Identity, spec: StorageSpec) -> Ensured:
        call = pb.Call(ensure=pb.Ensure(identity=write_identity(identity), spec=write_spec(spec)))
        result = await self._ask(call, "entry")
        return Ensured(_entry(result, identity.uid), tuple(result.entry.repairs))

    async def latch(self, identity: Identity, reason: str, requested_at: str) -> Record:
        step = pb.Latch(identity=write_identity(identity), reason=reason, requested_at=requested_at)
        return await self._record(pb.Call(latch=step), identity)

    async def snapshot(self, identity: Identity) -> Record:
        return await self._archiving(pb.Call(snapshot=pb.Snapshot(identity=write_identity(identity))), identity)

    async def archive(self, identity: Identity) -> Record:
        return await self._archiving(pb.Call(archive=pb.Archive(identity=write_identity(identity))), identity)

    async def condemn(self, identity: Identity) -> Record:
        return await self._archiving(pb.Call(condemn=pb.Condemn(identity=write_identity(identity))), identity)

    async def remove(self, identity: Identity) -> Record:
        return await self._archiving(pb.Call(remove=pb.Remove(identity=write_identity(identity))), identity)

    async def retain(self, identity: Identity) -> Record:
        return await self._record(pb.Call(retain=pb.Retain(identity=write_identity(identity))), identity)

    async def check_never_made(self, identity: Identity, *, claimed: bool) -> None:
        step = pb.CheckNeverMade(identity=write_identity(identity), claimed=claimed)
        await self._ask(pb.Call(check_never_made=step), "nothing")

    async def forget(self, uid: Uid) -> None:
        await self._ask(pb.Call(forget=pb.Forget(uid=uid)), "nothing")
        if await self.find(uid) is None:  # An entry whose life is not over stays.
            self._agents.of(self._volume_id).uids.discard(uid)

    async def measure(self, identity: Identity) -> Usage | None:
        result = await self._ask(pb.Call(measure=pb.Measure(identity=write_identity(identity))), "usage", "nothing")
        return read_usage(result.usage) if result.WhichOneof("outcome") == "usage" else None

    async def survey(self) -> Survey:
        """Look at everything on the volume, in one call."""
        return read_survey((await self._ask(pb.Call(survey=pb.Survey()), "surveyed")).surveyed)

    async def _archiving(self, call: pb.Call, identity: Identity) -> Record:
        """A step in which the agent may open streams to the vault."""
        with self._agents.of(self._volume_id).archiving(identity):
            return await self._record(call, identity)

    async def _record(self, call: pb.Call, identity: Identity) -> Record:
        return _entry(await self._ask(call, "entry"), identity.uid)

    async def _ask(self, call: pb.Call, *outcomes: str) -> pb.Result:
        agent, step = self._agents.of(self._volume_id), call.WhichOneof("step")
        try:
            async with asyncio.timeout(None if step in _LONG else _TIMEOUT):
                result = await agent.ask(call)
        except TimeoutError as exc:
            raise NodeUnavailableError(
                f"the agent of node {agent.pod.node} did not answer {step} within {_TIMEOUT:g} s"
            ) from exc
        if (outcome := result.WhichOneof("outcome")) not in outcomes:
            raise NodeUnavailableError(f"the agent of node {agent.pod.node} answered {step} with {outcome}")
        return result


def _entry(result: pb.Result, uid: Uid) -> Record:
    """The journal entry in a result, which must be about what was asked."""
    record = read_record(result.entry)
    if record.identity.uid != uid:
        raise NodeUnavailableError(f"an agent answered about {record.identity} when it was asked about {uid}")
    return record
