"""What stands between an agent and its controller: every message goes through it, and every byte.

The relay of messages speaks the protocol on both sides; the wire below it knows bytes alone. Each counts, in each
direction, over all connections of a life, and does one thing at one place.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import grpc

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.transport import Context, VaultContext, add_to, connect_on, vault_on

_Read = Callable[[], Awaitable[Any]]
_Write = Callable[[Any], Awaitable[object]]

_PIECE: Final = 1 << 16
_LATE: Final = 0.05
"""Seconds that a message is held back where nothing follows it."""


class Fate(StrEnum):
    """What becomes of a message, of its connection, or of who waits for it."""

    LOST = "lost"
    """The connection ends before it, so that it never arrives."""
    LAST = "last"
    """It arrives, and the connection ends after it."""
    TWICE = "twice"
    OVERTAKEN = "overtaken"
    """What follows arrives first."""
    AGENT_KILLED = "where the agent is killed"
    """It never arrives, and another agent goes on."""
    CONTROLLER_REPLACED = "where the controller is replaced"
    """It never arrives, and another controller goes on."""


ENDS: Final = {Fate.AGENT_KILLED, Fate.CONTROLLER_REPLACED}


UP: Final = "up"
"""From the agent to the controller."""
DOWN: Final = "down"
TO_VAULT: Final = "to the vault"
"""The same on the streams beside the connection."""
FROM_VAULT: Final = "from the vault"


@dataclass(frozen=True, slots=True)
class Place:
    """A message or a byte of a life, counted from 0 in its direction."""

    direction: str
    number: int


@dataclass
class Relay:
    """Relays messages to a controller's port, and does `fate` at `place`."""

    controller: int
    place: Place | None = None
    fate: Fate = Fate.LOST
    end: Callable[[], Awaitable[None]] | None = None
    """Ends the agent or the controller, as the fate says, and has another one begin."""
    counted: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _begins_anew: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Relay":
        self._ending = asyncio.Event()
        self._server = grpc.aio.server()
        add_to(self._server, self._connect, self._vault)
        self.port = self._server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self._server.stop(5)
        if self._begins_anew is not None:
            await self._begins_anew

    async def _connect(self, requests: AsyncIterator[pb.FromAgent], context: Context) -> None:
        metadata = tuple(context.invocation_metadata() or ())
        await self._relay(requests, context, lambda channel: connect_on(channel)(metadata=metadata), (UP, DOWN))

    async def _vault(self, requests: AsyncIterator[pb.ToVault], context: VaultContext) -> None:
        await self._relay(requests, context, vault_on, (TO_VAULT, FROM_VAULT))

    async def _relay(
        self,
        requests: AsyncIterator[Any],
        context: grpc.aio.ServicerContext[Any, Any],
        open_on: Callable[[grpc.aio.Channel], grpc.aio.StreamStreamCall[Any, Any]],
        directions: tuple[str, str],
    ) -> None:
        address = f"127.0.0.1:{self.controller}"
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(address, grpc.local_channel_credentials(), options=options) as channel:
            stream = open_on(channel)
            up = asyncio.create_task(self._pass_on(directions[0], requests.__aiter__().__anext__, stream.write))
            down = asyncio.create_task(self._pass_on(directions[1], stream.read, context.write))
            ending = asyncio.create_task(self._ending.wait())
            tasks = (up, down, ending)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                return  # By gRPC, which would print it: the connection is over.
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                stream.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the relay ends this connection")

    async def _pass_on(self, direction: str, read: _Read, write: _Write) -> None:
        """Pass messages on until the connection ends."""
        with contextlib.suppress(StopAsyncIteration, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (message := await read()) is not grpc.aio.EOF:
                if not await self._deliver(Place(direction, self.counted[direction]), message, read, write):
                    return

    async def _deliver(self, place: Place, message: Any, read: _Read, write: _Write) -> bool:
        """Whether the connection goes on after this message."""
        self.counted[place.direction] += 1
        if place != self.place:
            await write(message)
            return True
        match self.fate:
            case Fate.LOST:
                return False
            case Fate.AGENT_KILLED | Fate.CONTROLLER_REPLACED:
                if self.end is not None:
                    # A task of its own: with whoever ends, this connection ends, and what relays it.
                    self._begins_anew = asyncio.ensure_future(self.end())
                    await asyncio.shield(self._begins_anew)
                return False
            case Fate.LAST:
                await write(message)
                return False
            case Fate.TWICE:
                await write(message)
                await write(message)
            case Fate.OVERTAKEN:
                await self._overtake(place.direction, message, read, write)
        return True

    async def _overtake(self, direction: str, message: Any, read: _Read, write: _Write) -> None:
        following = asyncio.ensure_future(read())
        try:
            done, _ = await asyncio.wait((following,), timeout=_LATE)
            order = [following, None] if done else [None, following]
            for each in order:
                late = message if each is None else await each
                if late is not grpc.aio.EOF:
                    self.counted[direction] += each is not None
                    await write(late)
        finally:
            following.cancel()


@dataclass
class Wire:
    """Relays bytes to a port, and cuts the connection before the byte at `place`."""

    target: int
    place: Place | None = None
    counted: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        """Listen, and end everything."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            pumps = [
                asyncio.create_task(self._pump(UP, reader, there_writer)),
                asyncio.create_task(self._pump(DOWN, there_reader, writer)),
            ]
            self._tasks.update(pumps)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.difference_update(pumps)
            there_writer.transport.abort()
        writer.transport.abort()

    async def _pump(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                before = self.counted[direction]
                self.counted[direction] += len(data)
                if (
                    self.place
                    and self.place.direction == direction
                    and before <= self.place.number < before + len(data)
                ):
                    writer.write(data[: self.place.number - before])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
