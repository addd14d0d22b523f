"""What disk work waits for, and what it does not."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from metrics_storage.engine import host
from metrics_storage.engine.fs import walk
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.errors import InterruptedByEndError
from metrics_storage.model.identity import Identity, Uid

RUNNERS = [
    Identity("runners", f"runner-{number}", Uid(f"{number}b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")) for number in (0, 1)
]


def test_who_keeps_a_provisional_archive_going_takes_no_time_from_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(walk, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def snapshot(identity: Identity, progress: Progress) -> Identity:
        if identity == RUNNERS[0]:
            now[0] += 10_000
        progress(0, 1)
        return identity

    async def both() -> list[Any]:
        disk = LocalEngine(cast(StorageEngine, SimpleNamespace(snapshot=snapshot)), workers=1, archive_workers=1)
        try:
            return await asyncio.gather(*map(disk.snapshot, RUNNERS), return_exceptions=True)
        finally:
            disk.close()

    first, second = asyncio.run(both())
    assert isinstance(first, TimeoutError)
    assert second == RUNNERS[1]


def test_each_attempt_at_a_provisional_archive_gets_twice_the_time_while_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(host, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(walk, "time", SimpleNamespace(monotonic=lambda: now[0]))
    took: list[float] = []

    both_wait = threading.Event()

    def snapshot(identity: Identity, progress: Progress) -> Identity:
        assert both_wait.wait(timeout=30)
        began = now[0]
        try:
            while identity == RUNNERS[0] and now[0] < began + 10_000:
                now[0] += 1
                progress(0, 1)
        finally:
            if identity == RUNNERS[0]:
                took.append(now[0] - began)
        return identity

    async def attempts() -> None:
        disk = LocalEngine(cast(StorageEngine, SimpleNamespace(snapshot=snapshot)), workers=1, archive_workers=1)
        try:
            for _ in range(7):
                both_wait.clear()
                tasks = [asyncio.ensure_future(disk.snapshot(runner)) for runner in RUNNERS]
                await asyncio.sleep(0)
                both_wait.set()
                ends: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
                assert isinstance(ends[0], TimeoutError)
                assert ends[1] == RUNNERS[1]
        finally:
            disk.close()

    asyncio.run(attempts())
    assert took == [61, 121, 241, 481, 961, 1801, 1801]


def test_the_end_of_the_operator_interrupts_all_long_work() -> None:
    begun: list[str] = []
    reached = threading.Barrier(4)

    def endless(name: str) -> Callable[..., None]:
        def work(_identity: Identity, progress: Progress) -> None:
            begun.append(name)
            reached.wait(timeout=30)
            while True:
                progress(0, 1)

        return work

    async def run() -> list[Any]:
        engine = SimpleNamespace(
            archive=endless("archive"), remove=endless("remove"), snapshot=endless("snapshot"), find=lambda _: None
        )
        disk = LocalEngine(cast(StorageEngine, engine), workers=1, archive_workers=1)
        work = [asyncio.ensure_future(step(RUNNERS[0])) for step in (disk.archive, disk.remove, disk.snapshot)]
        await asyncio.to_thread(reached.wait, timeout=30)
        await asyncio.to_thread(disk.close)
        return await asyncio.gather(*work, return_exceptions=True)

    ended = asyncio.run(run())
    assert sorted(begun) == ["archive", "remove", "snapshot"]
    assert all(isinstance(end, InterruptedByEndError) for end in ended)
