"""The connection of an agent to its controller: dialled again and again, with a pause that grows and varies."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Final

import grpc

from metrics_storage import __version__
from metrics_storage.agent.calls import Calls
from metrics_storage.agent.vault import RemoteVault
from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.protocol import AUTHORIZATION, HELLO_TIMEOUT, VERSION
from metrics_storage.channel.transport import Stream, connect_on, described
from metrics_storage.errors import MetricsStorageError, NodeUnavailableError

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
"""Seconds between two attempts to connect; a thousand agents come back within a minute and not all at once."""


async def wait_for_permission(dial: Callable[[], grpc.aio.Channel], token: Callable[[], str]) -> None:
    """Ask until the controller says that this node may begin with an empty volume."""
    pause = _FIRST_PAUSE
    while True:
        try:
            async with dial() as channel:
                await _greet(_opened(channel, token), pb.Hello())
                return
        except (grpc.aio.AioRpcError, MetricsStorageError, OSError) as exc:
            _log.warning("the directory of this node is empty, and is not made its storage volume: %s", described(exc))
        pause = min(2 * pause, _LONGEST_PAUSE)
        await _sleep(pause)


class Connection:
    """Keeps an agent connected, and has what comes on the connection carried out."""

    def __init__(
        self,
        calls: Calls,
        vault: RemoteVault,
        volume_id: str,
        dial: Callable[[], grpc.aio.Channel],
        token: Callable[[], str],
        *,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """Connect by `dial`, showing what `token` gives at that moment, for the storage volume of this id.

        `vault` is what the engine that carries `calls` out archives into.

        `first_pause` is in seconds, before the second attempt.
        """
        self._first_pause = first_pause
        self._calls = calls
        self._vault = vault
        self._volume_id = volume_id
        self._dial = dial
        self._token = token
        self._answers: set[asyncio.Task[None]] = set()
        """What is being carried out, for this connection or an earlier one: an archive may take longer than both."""
        self.connected = False
        """Whether the controller has taken the connection, and it stands."""

    async def run(self) -> None:
        """Stay connected until this is cancelled; what was begun by then goes on in the engine's threads."""
        pause = self._first_pause
        while True:
            try:
                await self._serve()
            except (grpc.aio.AioRpcError, MetricsStorageError, OSError) as exc:
                _log.warning("not connected to the controller: %s", described(exc))
            except Exception:
                _log.exception("not connected to the controller, for no reason that is known")
            else:
                _log.warning("not connected to the controller: it ended the connection")
            pause = self._first_pause if self.connected else min(2 * pause, _LONGEST_PAUSE)
            self.connected = False
            await _sleep(pause)

    async def _serve(self) -> None:
        """Connect once, and answer until the connection ends.

        Raises:
            NodeUnavailableError: the controller is of another version.
            TimeoutError: it does not answer.
            StaleEpochError: the controller has been replaced.
            grpc.aio.AioRpcError, OSError: it cannot be reached.
        """
        async with self._dial() as channel:
            # First, because the controller waits ten seconds for it once the stream is open.
            hello = await self._calls.known()
            hello.volume_id = self._volume_id
            stream = _opened(channel, self._token)
            welcome = await _greet(stream, hello)
            await self._calls.accept(welcome.epoch)
            self.connected = True
            _log.info("connected to the controller, version %s", welcome.software)
            with self._vault.attached(channel, welcome.session):
                await self._answer_all(stream)

    async def _answer_all(self, stream: Stream) -> None:
        writing = asyncio.Lock()
        while isinstance(message := await stream.read(), pb.ToAgent):
            answer = asyncio.create_task(self._answer(stream, message.call, writing))
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)

    async def _answer(self, stream: Stream, call: pb.Call, writing: asyncio.Lock) -> None:
        result = await self._calls.answer(call)
        # Where the connection is over, the controller will ask again.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            async with writing:
                await stream.write(pb.FromAgent(result=result))


def _opened(channel: grpc.aio.Channel, token: Callable[[], str]) -> Stream:
    return connect_on(channel)(metadata=((AUTHORIZATION, f"Bearer {token()}"),))


async def _greet(stream: Stream, hello: pb.Hello) -> pb.Welcome:
    """Say hello, and see that both sides understand each other.

    Raises:
        NodeUnavailableError: they do not.
        TimeoutError: the controller does not answer.
        grpc.aio.AioRpcError: it refuses, or the connection is cut.
    """
    hello.MergeFrom(pb.Hello(protocol=VERSION, software=__version__))
    await stream.write(pb.FromAgent(hello=hello))
    async with asyncio.timeout(HELLO_TIMEOUT):
        message = await stream.read()
    if not isinstance(message, pb.ToAgent) or message.WhichOneof("message") != "welcome":
        raise NodeUnavailableError("the controller did not answer with a welcome")
    if message.welcome.protocol != VERSION:
        raise NodeUnavailableError(
            f"the controller speaks version {message.welcome.protocol} of the protocol, this agent {VERSION}"
        )
    return message.welcome


async def _sleep(pause: float) -> None:
    """Sleep so many seconds, or less, so that not all agents come at once."""
    await asyncio.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311
