"""Probes: what is dead is restarted, and nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from metrics_storage.controller import health as module
from metrics_storage.controller.health import Health, serve


@asynccontextmanager
async def served(health: Health) -> AsyncIterator[Callable[[], Coroutine[None, None, tuple[int, str]]]]:
    """What asks `/livez`."""
    port = unused_port()
    runner = await serve(health, "127.0.0.1", port)
    async with aiohttp.ClientSession() as session:

        async def ask() -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}/livez") as response:
                return response.status, await response.text()

        try:
            yield ask
        finally:
            await runner.cleanup()


def test_a_volume_that_is_lost_has_the_container_restarted() -> None:
    lost: str | None = None

    async def run() -> None:
        nonlocal lost
        async with served(Health(lost_volume=lambda: lost)) as ask:
            assert await ask() == (200, "ok\n")
            lost = "storage volume /s: Stale file handle"
            assert await ask() == (503, "storage volume /s: Stale file handle\n")
            lost = None
            assert await ask() == (200, "ok\n")

    asyncio.run(run())


def test_a_volume_that_does_not_answer_is_not_lost_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.05)
    answered = threading.Event()
    asked = 0

    def hang() -> str:
        nonlocal asked
        asked += 1
        answered.wait()
        return "gone"

    async def run() -> None:
        async with served(Health(lost_volume=hang)) as ask:
            assert [await ask() for _ in range(3)] == [(200, "ok\n")] * 3
            assert asked == 1
            answered.set()
            monkeypatch.setattr(module, "_TIMEOUT", 10.0)
            assert await ask() == (503, "gone\n")

    asyncio.run(run())
