"""Liveness, readiness and metrics over HTTP: `/livez` and `/readyz` answer one line, `/metrics` Prometheus."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

_SWEEPS_MISSED: Final = 10
"""Intervals without a finished sweep after which the process counts as hung. Archives don't hold sweeps up."""

_TIMEOUT: Final = 3.0
"""Seconds for a look at the volumes; the kubelet waits for 10."""


@dataclass
class Health:
    """What the probes tell. `waiting_for` names what start-up waits for, None when it is over.

    `metrics` are there once the volumes are.
    """

    waiting_for: str | None = "start"
    sweep_interval: float = 60.0
    sweep_completed_at: Callable[[], float] = field(default=time.monotonic)
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    lost_volume: Callable[[], str | None] = field(default=lambda: None)
    """Which volume cannot be reached any more, and why; may wait for a disk."""
    _looking: asyncio.Future[str | None] | None = None

    async def live(self, _: web.Request) -> web.Response:
        """200 while the event loop turns, sweeps end, and the volumes are there: in a new container they are again."""
        age = time.monotonic() - self.sweep_completed_at()
        if age > _SWEEPS_MISSED * self.sweep_interval:
            return web.Response(status=503, text=f"the last sweep ended {age:.0f} s ago\n")
        if lost := await self._lost():
            return web.Response(status=503, text=f"{lost}\n")
        return web.Response(text="ok\n")

    async def _lost(self) -> str | None:
        """What `lost_volume` says; nothing as long as it waits, because a new process would wait as well."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(self.lost_volume))
        done, _ = await asyncio.wait((self._looking,), timeout=_TIMEOUT)
        return done.pop().result() if done else None

    async def ready(self, _: web.Request) -> web.Response:
        """200 once the volumes are open and locked and the watch has begun."""
        if self.waiting_for:
            return web.Response(status=503, text=f"waiting: {self.waiting_for}\n")
        return web.Response(text="ok\n")

    async def scrape(self, _: web.Request) -> web.Response:
        """All metrics that are known."""
        return web.Response(body=generate_latest(self.metrics), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def serve(health: Health, host: str, port: int) -> web.AppRunner:
    """Answer probes and scrapes until the returned runner's `cleanup` is called."""
    app = web.Application()
    app.router.add_get("/livez", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.scrape)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
