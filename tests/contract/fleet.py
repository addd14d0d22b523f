"""A controller's server and the agent of one node, connected over the loopback address."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from metrics_storage.agent.calls import Calls
from metrics_storage.agent.connection import Connection
from metrics_storage.agent.vault import RemoteVault
from metrics_storage.controller.fleet.admission import Admission, BindingStore
from metrics_storage.controller.fleet.agents import AgentPod, Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.controller.fleet.server import FleetServer
from metrics_storage.controller.fleet.vault_streams import VaultStreams
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Origin, Vault
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid
from tools.waiting import eventually_meanwhile

NODES = [
    AgentPod(f"node-{number}", Uid(f"{number:08}-0000-4000-8000-000000000000"), f"agent-{number}", f"u{number}")
    for number in range(20)
]
TOKENS = {f"token-{number}": pod for number, pod in enumerate(NODES)}


async def authenticate(token: str) -> AgentPod | None:
    """Whose token it is."""
    return TOKENS.get(token)


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition, while everything else goes on."""
    await eventually_meanwhile(holds, seconds=20, what=what)


class MemoryBindings:
    """Bindings that end with the process."""

    def __init__(self) -> None:
        self.all: dict[Uid, Binding] = {}

    def of_volume(self, volume_id: Uid) -> Binding | None:
        return self.all.get(volume_id)

    def of_node(self, node_uid: Uid) -> Sequence[Binding]:
        return [binding for binding in self.all.values() if binding.node_uid == node_uid]

    def record(self, binding: Binding) -> None:
        self.all[binding.volume_id] = binding


async def every_node_exists(_name: str, _uid: Uid) -> bool:
    """No Node is gone."""
    return True


@dataclass
class Controller:
    """A controller's side: its agents, its vault, and the server that they dial."""

    root: Path
    epoch: int = 1
    agents: Agents = field(default_factory=Agents)
    bindings: BindingStore = field(default_factory=MemoryBindings)
    port: int = 0

    async def __aenter__(self) -> "Controller":
        self.quarantine = Volume(_made(self.root / "quarantine"), Role.QUARANTINE, initialise=True)
        self.local = LocalVault(self.quarantine)
        self.vault = VaultStreams(self.agents, self.vault_for)
        self.releases = Releases(self.quarantine)
        admission = Admission(self.bindings, self.releases, every_node_exists)
        self.server = FleetServer(self.agents, self.epoch, authenticate, admission, self.vault)
        self.port = await self.server.start(f"127.0.0.1:{self.port}", grpc.local_server_credentials())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(5)
        await self.vault.close()
        self.quarantine.close()

    def vault_for(self, pod: AgentPod) -> LocalVault:
        """The vault for what a node archives."""
        return self.local.of(Origin("test", pod.node))


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


@dataclass
class Node:
    """A node's side: its volume, its engine, and the calls that are carried out on it."""

    root: Path
    disk: StorageEngine
    engine: LocalEngine
    calls: Calls
    vault: RemoteVault
    volume_id: Uid

    def connection(
        self, port: int, shown: str = "token-1", volume_id: str = "", *, first_pause: float = 0.5
    ) -> Connection:
        """A connection of this node's agent that is not dialled yet."""

        def dial() -> grpc.aio.Channel:
            options = [("grpc.use_local_subchannel_pool", 1)]
            address = f"127.0.0.1:{port}"
            return grpc.aio.secure_channel(address, grpc.local_channel_credentials(), options=options)

        volume_id = volume_id or self.volume_id
        return Connection(self.calls, self.vault, volume_id, dial, lambda: shown, first_pause=first_pause)

    @asynccontextmanager
    async def connected(self, controller: Controller) -> AsyncIterator[Connection]:
        """Be connected to a controller."""
        connection = self.connection(controller.port)
        running = asyncio.create_task(connection.run())
        try:
            await eventually(lambda: connection.connected and len(controller.agents) > 0, "the agent is connected")
            yield connection
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@asynccontextmanager
async def node(root: Path, archives: Vault | None = None) -> AsyncIterator[Node]:
    """A node with a fresh volume, or the one that is there; it archives into its controller's vault, or another one."""
    with Volume(_made(root / "storage"), Role.STORAGE, initialise=True) as storage:
        storage.lock()
        vault = RemoteVault()
        disk = StorageEngine(storage, archives or vault)
        engine = LocalEngine(disk, workers=2, archive_workers=1)
        try:
            yield Node(root, disk, engine, Calls(engine, Epochs(storage)), vault, Uid(storage.id))
        finally:
            engine.close()


@asynccontextmanager
async def remote(root: Path) -> AsyncIterator[tuple[RemoteEngine, Node, Controller]]:
    """An engine of a connected node."""
    async with node(root) as here, Controller(root) as controller, here.connected(controller):
        yield RemoteEngine(controller.agents, here.volume_id), here, controller


def run(rule: Coroutine[Any, Any, None]) -> None:
    """Have a rule hold, within a minute."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await rule

    asyncio.run(bounded())
