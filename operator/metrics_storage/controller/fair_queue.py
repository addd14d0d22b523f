"""Fairness between namespaces: one that creates many resources does not keep the others waiting behind all of them."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairQueue:
    """Lets a limited number work at a time, and serves namespaces in rotation.

    For short work alone: who waits for Pods or writes archives would hold a place for hours.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, namespace: str) -> AsyncIterator[None]:
        """One of the places, as soon as the namespace may have it."""
        await self._enter(namespace)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, namespace: str) -> None:
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        """Hand the place to the next namespace in the rotation, and there to who has waited longest."""
        while self._waiting:
            namespace, queue = self._waiting.popitem(last=False)
            place = queue.popleft()
            if queue:
                self._waiting[namespace] = queue
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
