"""The contract of vaults, kept by the one of this machine and by the one behind a connection."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin
from metrics_storage.engine.volume.volume import Role, Volume
from tests.contract.fleet import Controller, node
from tests.contract.vault import RUNNER, Connect, Site, VaultContract, opened_source


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    """A directory with something in it."""
    with opened_source(tmp_path) as fd:
        yield fd


class TestLocalVault(VaultContract):
    @pytest.fixture
    def connect(self, tmp_path: Path, source: int) -> Connect:
        @contextmanager
        def connect() -> Iterator[Site]:
            root = tmp_path / "quarantine"
            root.mkdir()
            with Volume(root, Role.QUARANTINE, initialise=True) as volume:
                yield Site(LocalVault(volume, Origin("test", "here")), root, source)

        return connect


class TestRemoteVault(VaultContract):
    @pytest.fixture
    def connect(self, tmp_path: Path, source: int) -> Connect:
        @contextmanager
        def connect() -> Iterator[Site]:
            with _event_loop() as loop, ExitStack() as stack:
                ready = threading.Event()
                over = asyncio.Event()

                async def serve() -> None:
                    async with node(tmp_path) as here, Controller(tmp_path) as controller, here.connected(controller):
                        with controller.agents.of(here.volume_id).archiving(RUNNER):
                            stack.callback(loop.call_soon_threadsafe, over.set)
                            sites.append(Site(here.vault, tmp_path / "quarantine", source))
                            ready.set()
                            await over.wait()

                sites: list[Site] = []
                serving = asyncio.run_coroutine_threadsafe(serve(), loop)
                while not ready.wait(0.1):
                    assert not serving.done(), serving.result()
                try:
                    yield sites[0]
                finally:
                    stack.close()
                    serving.result(20)

        return connect


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, as the engine's threads see it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
