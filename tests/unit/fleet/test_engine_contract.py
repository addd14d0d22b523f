"""The contract of engines, kept by the one of this machine and by the one behind a connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.volume.volume import Role, Volume
from tests.contract.engine import Connect, EngineContract, Site
from tests.contract.fleet import node, remote


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        @asynccontextmanager
        async def connect() -> AsyncIterator[Site]:
            (tmp_path / "quarantine").mkdir()
            with Volume(tmp_path / "quarantine", Role.QUARANTINE, initialise=True) as quarantine:
                async with node(tmp_path, LocalVault(quarantine)) as here:
                    yield Site(here.engine, tmp_path / "storage")

        return connect


class TestRemoteEngine(EngineContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        @asynccontextmanager
        async def connect() -> AsyncIterator[Site]:
            async with remote(tmp_path) as (engine, _, _):
                yield Site(engine, tmp_path / "storage")

        return connect
