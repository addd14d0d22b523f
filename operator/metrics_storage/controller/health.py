"""Liveness, readiness and metrics over HTTP: `/livez` and `/readyz` answer one line, `/metrics` Prometheus."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from metrics_storage.controller.metrics import CONTENT_TYPE, Metric, render

_SWEEPS_MISSED: Final = 10
"""Intervals without a finished sweep after which the process counts as hung. Archives don't hold sweeps up."""


@dataclass
class Health:
    """What the probes tell. `waiting_for` names what start-up waits for, None when it is over.

    `metrics` are there once the volumes are.
    """

    waiting_for: str | None = "start"
    sweep_interval: float = 60.0
    sweep_completed_at: Callable[[], float] = field(default=time.monotonic)
    metrics: Sequence[Metric] = ()

    async def live(self, _: web.Request) -> web.Response:
        """200 while the event loop turns and sweeps end."""
        age = time.monotonic() - self.sweep_completed_at()
        if age > _SWEEPS_MISSED * self.sweep_interval:
            return web.Response(status=503, text=f"the last sweep ended {age:.0f} s ago\n")
        return web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """200 once the volumes are open and locked and the watch has begun."""
        if self.waiting_for:
            return web.Response(status=503, text=f"waiting: {self.waiting_for}\n")
        return web.Response(text="ok\n")

    async def scrape(self, _: web.Request) -> web.Response:
        """All metrics that are known."""
        return web.Response(text=render(self.metrics), headers={"Content-Type": CONTENT_TYPE})


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
