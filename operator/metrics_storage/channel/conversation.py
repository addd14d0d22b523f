"""A stream of messages that a thread uses, while the event loop carries it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from metrics_storage.errors import NodeUnavailableError

_Said = TypeVar("_Said")
_Heard = TypeVar("_Heard")
_Result = TypeVar("_Result")

_LOOK: Final = 0.2
"""Seconds after which a thread that waits looks whether it is to end."""


class Conversation(Generic[_Said, _Heard]):
    """One stream, as one thread sees it: its methods block, and raise NodeUnavailableError where the stream was cut."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[_Said], Awaitable[object]],
        receive: Callable[[], Awaitable[_Heard | None]],
        ended: threading.Event,
    ) -> None:
        """`send` and `receive` run on `loop`; nobody waits any longer once `ended` is set."""
        self._loop = loop
        self._send = send
        self._sending = asyncio.Lock()
        self.receive = receive
        self._ended = ended

    def say(self, message: _Said) -> None:
        """Send a message, as soon as the other side has room for it."""
        self.join(self.start(self.send(message)))

    def hear(self, go_on: Callable[[], object] | None = None) -> _Heard | None:
        """The next message; None where the other side has ended the stream."""

        async def receive() -> _Heard | None:
            return await self.receive()

        return self.join(self.start(receive()), go_on)

    async def send(self, message: _Said) -> None:
        """The same as `say`, for what runs on the event loop."""
        async with self._sending:
            await self._send(message)

    def start(self, work: Coroutine[Any, Any, _Result]) -> "Future[_Result]":
        """Have something done on the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def join(self, work: "Future[_Result]", go_on: Callable[[], object] | None = None) -> _Result:
        """Wait for what was started; what `go_on` raises now and then ends it."""
        try:
            while True:
                self.require_going_on()
                if go_on is not None:
                    go_on()
                try:
                    return work.result(_LOOK)
                except TimeoutError:
                    if work.done():
                        raise
        finally:
            work.cancel()

    def require_going_on(self, *_: object) -> None:
        """See that the stream has not ended.

        Raises:
            NodeUnavailableError: it has.
        """
        if self._ended.is_set():
            raise NodeUnavailableError("the connection between agent and controller ended")
