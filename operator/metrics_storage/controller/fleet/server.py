"""Where agents dial in: who they are is proven first, then they say hello, then they are asked."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final

import grpc

from metrics_storage import __version__
from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.protocol import AUTHORIZATION, KEEPALIVE, VERSION
from metrics_storage.channel.transport import Context, add_to, first_of
from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import Agent, AgentPod, Agents
from metrics_storage.controller.fleet.vault_streams import VaultStreams
from metrics_storage.errors import MetricsStorageError, NodeUnavailableError
from metrics_storage.model.identity import Uid

_log = logging.getLogger(__name__)

Authenticate = Callable[[str], Awaitable[AgentPod | None]]
"""The Pod that a token proves, None where it proves none.

Raises:
    MetricsStorageError: it cannot be asked for now.
"""

_BEARER: Final = "Bearer "


class FleetServer:
    """Takes the connections of agents, from `start` to `stop`."""

    def __init__(
        self, agents: Agents, epoch: int, authenticate: Authenticate, admission: Admission, vault: VaultStreams
    ) -> None:
        self._agents = agents
        self._admission = admission
        self._epoch = epoch
        self._authenticate = authenticate
        self._server = grpc.aio.server(options=KEEPALIVE)
        add_to(self._server, self._connect, vault.serve)

    async def start(self, address: str, credentials: grpc.ServerCredentials) -> int:
        """Listen at `HOST:PORT`; returns the port, which is another one where 0 was given."""
        port = self._server.add_secure_port(address, credentials)
        await self._server.start()
        return port

    async def stop(self, grace: float) -> None:
        """End all connections, of which no one outlives `grace` seconds; agents dial again."""
        self._agents.end("the controller ends")
        await self._server.stop(grace)

    async def _connect(self, requests: AsyncIterator[pb.FromAgent], context: Context) -> None:
        pod = await self._prove(context)
        hello = await self._greet(requests, context)
        if not hello.volume_id:
            await _admitted(self._admission.admit_new(pod), context)
            await self._welcome(context)
            return
        agent = await self._agent(pod, hello, context)
        await _admitted(self._admission.admit(pod, agent.volume_id, agent.uids), context)
        self._agents.add(agent)
        _log.info("node %s is connected with storage volume %s", pod.node, agent.volume_id)
        try:
            await self._welcome(context, agent.session)
            await _until_one_ends(_send(agent, context), _receive(agent, requests), agent.ended.wait())
        except asyncio.CancelledError:
            pass  # By gRPC, which would print it: the connection is over.
        finally:
            self._agents.remove(agent, "the connection ended")
            _log.info("node %s is not connected any more", pod.node)

    async def _prove(self, context: Context) -> AgentPod:
        """Who shows which token."""
        metadata = dict(context.invocation_metadata() or ())
        shown = str(metadata.get(AUTHORIZATION, ""))
        try:
            pod = await self._authenticate(shown.removeprefix(_BEARER)) if shown.startswith(_BEARER) else None
        except MetricsStorageError as exc:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the token cannot be reviewed now: {exc}")
        if pod is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not that of an agent's Pod")
        return pod

    async def _greet(self, requests: AsyncIterator[pb.FromAgent], context: Context) -> pb.Hello:
        """Wait for the hello, and see that both sides understand each other."""
        message = await first_of(requests)
        if message is None or message.WhichOneof("message") != "hello":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "an agent's first message is a hello")
        if message.hello.protocol != VERSION:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"this controller speaks version {VERSION} of the protocol, the agent {message.hello.protocol}: run "
                "the same image on both sides",
            )
        return message.hello

    async def _welcome(self, context: Context, session: str = "") -> None:
        welcome = pb.Welcome(protocol=VERSION, software=__version__, epoch=self._epoch, session=session)
        await context.write(pb.ToAgent(welcome=welcome))

    async def _agent(self, pod: AgentPod, hello: pb.Hello, context: Context) -> Agent:
        """The agent that says hello; what it says of its journal is as good as its answers will be."""
        volume_id = Uid.parse(hello.volume_id)
        if volume_id is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the id of a volume is a lower-case UUID")
        uids = [uid for uid in map(Uid.parse, hello.uids) if uid is not None]
        return Agent(pod, volume_id, self._epoch, uids=uids, free_bytes=hello.free_bytes)


async def _admitted(deciding: Coroutine[Any, Any, None], context: Context) -> None:
    """Wait for the decision whether a node may speak for its volume, and end the connection where it may not."""
    try:
        await deciding
    except NodeUnavailableError as exc:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(exc))
    except (MetricsStorageError, OSError) as exc:
        await context.abort(grpc.StatusCode.UNAVAILABLE, f"whose volume it is cannot be found out now: {exc}")


async def _send(agent: Agent, context: Context) -> None:
    while True:
        await context.write(pb.ToAgent(call=await agent.next_call()))


async def _receive(agent: Agent, requests: AsyncIterator[pb.FromAgent]) -> None:
    async for message in requests:
        agent.take(message.result)


async def _until_one_ends(*work: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
