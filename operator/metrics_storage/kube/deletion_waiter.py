"""Waiting until objects are really gone, with one list for all who wait instead of one request each."""

import asyncio
from collections.abc import Sequence
from typing import Final

from metrics_storage.constants import MANAGED_SELECTOR
from metrics_storage.kube.api import Api
from metrics_storage.kube.resources import Resource

_FIRST_LOOK: Final = 0.1
_SLOWEST_LOOK: Final = 2.0


class DeletionWaiter:
    """Tells when managed objects have left the API server.

    An answer "gone" comes from a list by our own label, which somebody may have taken off: whoever destroys
    something on the strength of it asks the API server for that one object first.
    """

    def __init__(self, api: Api, namespaces: Sequence[str] = ()) -> None:
        """Look in the given namespaces, or in all."""
        self._api = api
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._waiting: dict[Resource, dict[str, asyncio.Future[None]]] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}

    async def wait(self, resource: Resource, uid: str, max_wait: float) -> bool:
        """Whether the object of that uid is gone within `max_wait` seconds."""
        waiting = self._waiting.setdefault(resource, {})
        future = waiting.setdefault(uid, asyncio.get_running_loop().create_future())
        if resource not in self._tasks:
            self._tasks[resource] = asyncio.create_task(self._look(resource))
        try:
            # Not wait_for: until Python 3.12 it swallows a cancellation that meets the result.
            async with asyncio.timeout(max_wait):
                await asyncio.shield(future)
        except TimeoutError:
            return False
        finally:
            waiting.pop(uid, None)
        return True

    async def _look(self, resource: Resource) -> None:
        """List until nobody waits any more; slower while nothing changes."""
        waiting = self._waiting[resource]
        pause = _FIRST_LOOK
        try:
            while waiting:
                await asyncio.sleep(pause)
                asked = set(waiting)
                gone = asked - await self._present(resource)
                for uid in gone:
                    if future := waiting.pop(uid, None):
                        future.set_result(None)
                pause = _FIRST_LOOK if gone else min(pause * 1.5, _SLOWEST_LOOK)
        except Exception as exc:
            for future in waiting.values():
                future.set_exception(exc)
            waiting.clear()
        finally:
            del self._tasks[resource]

    async def _present(self, resource: Resource) -> set[str]:
        namespaces = self._namespaces if resource.namespaced else [None]
        return {
            item["metadata"]["uid"]
            for namespace in namespaces
            async for item in self._api.list(resource, namespace, MANAGED_SELECTOR)
        }
