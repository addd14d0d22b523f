"""What the controller relies on in an engine, wherever it is: on volumes of this machine, or behind a connection."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from metrics_storage.controller.engine_api import Engine
from metrics_storage.errors import DirectoryVanishedError, InvalidSpecError, JournalError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec

NOW: Final = "2026-01-01T00:00:00Z"
RUNNER: Final = Identity("runners", "runner-0", Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))
SPEC: Final = StorageSpec(owner=f"{os.getuid()}:{os.getgid()}", mode="0770")


@dataclass(frozen=True)
class Site:
    """An engine and the storage volume that it works on."""

    engine: Engine
    storage: Path

    @property
    def live(self) -> Path:
        return self.storage / RUNNER.relative_path


Connect = Callable[[], AbstractAsyncContextManager[Site]]
_Result = TypeVar("_Result")


def run(connect: Connect, rule: Callable[[Site], Coroutine[Any, Any, _Result]]) -> _Result:
    """Have a rule hold on a site of its own."""

    async def hold() -> _Result:
        async with connect() as site:
            return await rule(site)

    return asyncio.run(hold())


class EngineContract:
    """Tests of the engine that the fixture `connect` leads to, on fresh volumes each time."""

    def test_a_directory_is_made_once_and_known_from_then_on(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            assert await site.engine.find(RUNNER.uid) is None
            ensured = await site.engine.ensure(RUNNER, SPEC)
            assert (ensured.record.phase, ensured.repairs) == (Phase.PROVISIONED, ())
            assert await site.engine.ensure(RUNNER, SPEC) == ensured
            assert await site.engine.find(RUNNER.uid) == ensured.record
            assert list(await site.engine.uids()) == [RUNNER.uid]
            assert site.live.stat().st_mode & 0o7777 == 0o770

        run(connect, rule)

    def test_repairs_are_said(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            await site.engine.ensure(RUNNER, SPEC)
            await site.engine.measure(RUNNER)
            site.live.rmdir()
            assert "made anew" in (await site.engine.ensure(RUNNER, SPEC)).repairs[0]

        run(connect, rule)

    def test_usage_is_measured_where_there_is_a_directory(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            assert await site.engine.measure(RUNNER) is None
            await site.engine.ensure(RUNNER, SPEC)
            (site.live / "metrics.json").write_text("{}")
            usage = await site.engine.measure(RUNNER)
            assert usage is not None
            assert (usage.files, usage.bytes > 0) == (1, True)

        run(connect, rule)

    def test_a_quarantine_is_archived_verified_and_only_then_removed(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            await site.engine.ensure(RUNNER, SPEC)
            (site.live / "metrics.json").write_text("{")
            latched = await site.engine.latch(RUNNER, "not JSON", NOW)
            assert latched.quarantine is not None
            assert (latched.quarantine.reason, latched.quarantine.requested_at) == ("not JSON", NOW)
            with pytest.raises(JournalError, match="must be archived"):
                await site.engine.condemn(RUNNER)
            with pytest.raises(JournalError, match="left to its owner"):
                await site.engine.retain(RUNNER)
            provisional = (await site.engine.snapshot(RUNNER)).quarantine
            assert provisional is not None
            assert provisional.provisional is not None
            verified = await site.engine.archive(RUNNER)
            assert verified.phase is Phase.VERIFIED
            assert verified.quarantine is not None
            assert verified.quarantine.archive is not None
            assert verified.quarantine.archive.clean
            assert (await site.engine.condemn(RUNNER)).phase is Phase.CONDEMNED
            gone = await site.engine.remove(RUNNER)
            assert (gone.phase, gone.quarantine) == (Phase.GONE, verified.quarantine)
            await site.engine.forget(RUNNER.uid)
            assert await site.engine.find(RUNNER.uid) is None

        run(connect, rule)

    def test_what_is_retained_stays(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            await site.engine.ensure(RUNNER, SPEC)
            assert (await site.engine.retain(RUNNER)).phase is Phase.RETAINED
            assert site.live.is_dir()

        run(connect, rule)

    def test_errors_are_the_same_everywhere(self, connect: Connect) -> None:
        async def rule(site: Site) -> None:
            await site.engine.check_never_made(RUNNER, claimed=False)
            with pytest.raises(DirectoryVanishedError, match="accept-loss"):
                await site.engine.check_never_made(RUNNER, claimed=True)
            with pytest.raises(JournalError, match="no entry"):
                await site.engine.archive(RUNNER)
            with pytest.raises(InvalidSpecError, match="nobody-here"):
                await site.engine.ensure(RUNNER, StorageSpec(owner="nobody-here:0"))
            await site.engine.ensure(RUNNER, SPEC)
            with pytest.raises(InvalidSpecError, match="immutable"):
                await site.engine.ensure(RUNNER, StorageSpec(owner=SPEC.owner, mode="0700"))

        run(connect, rule)
