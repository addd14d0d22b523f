"""What disk work waits for, and what it does not."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from metrics_storage.controller.port import LocalEngine
from metrics_storage.engine import tree
from metrics_storage.engine.engine import StorageEngine
from metrics_storage.engine.tree import Progress
from metrics_storage.model.identity import Identity

RUNNERS = [Identity("runners", f"runner-{number}", f"{number}b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11") for number in (0, 1)]


def test_who_keeps_a_provisional_archive_going_takes_no_time_from_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(tree, "time", SimpleNamespace(monotonic=lambda: now[0]))

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
