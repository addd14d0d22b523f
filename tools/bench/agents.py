"""What agents cost: an idle one, a step over the channel beside one without it, many that connect at once.

The wire is the real one, over the loopback address. Each of many agents is a connection of its own in a few processes,
which share one engine on an empty volume; one agent alone is a process of its own.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import grpc

from metrics_storage.agent.calls import Calls
from metrics_storage.agent.connection import Connection
from metrics_storage.agent.vault import RemoteVault
from metrics_storage.channel.protocol import KEEPALIVE
from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import AgentPod, Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.controller.fleet.server import FleetServer
from metrics_storage.controller.fleet.vault_streams import VaultStreams
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.archives.vault import Vault
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid
from tools.waiting import eventually_meanwhile

_PROCESSES: Final = 2
_STEPS: Final = 1000
_TIMEOUT: Final = 120.0


def measure(many: int) -> None:
    """Print what one agent and `many` of them need."""
    asyncio.run(_measure(many))


async def _measure(many: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-agents-") as directory:
        root = Path(directory)
        async with controller(root) as (agents, port, vault):
            with ExitStack() as stack:
                before = _resident(Path("/proc/self"))
                process = stack.enter_context(agent_process(port, root / "alone", 0, 1))
                await connected(lambda: len(agents) == 1)
                there = await _step(RemoteEngine(agents, volume_id(0)).find)
                resident = _resident(Path(f"/proc/{process.pid}"))
                engine, _calls = stack.enter_context(engine_on(root / "here", vault))
                here = await _step(engine.find)
                began = time.monotonic()
                share = many // _PROCESSES
                for number in range(_PROCESSES):
                    stack.enter_context(agent_process(port, root / str(number), 1 + number * share, share))
                await connected(lambda: len(agents) == 1 + _PROCESSES * share)
                seconds = time.monotonic() - began
                grown = _resident(Path("/proc/self")) - before
    print("agents: over the loopback address, without TLS")
    print(f"  one agent that is idle has {resident >> 10} MiB resident")
    print(f"  a step (find) takes {there:.2f} ms over the channel, {here:.2f} ms without: {there / here:.1f} times")
    print(
        f"  {_PROCESSES * share:,} agents are connected {seconds:.1f} s after {_PROCESSES} processes of them start, and"
    )
    print(f"  the controller has {grown >> 10} MiB more, {grown / many:.0f} KiB for each")


@asynccontextmanager
async def controller(root: Path) -> AsyncIterator[tuple[Agents, int, LocalVault]]:
    """A controller's side below a directory: its agents, the port that they dial, and its vault."""
    (root / "quarantine").mkdir()
    agents = Agents()
    with Volume(root / "quarantine", Role.QUARANTINE, initialise=True) as quarantine:
        vault = LocalVault(quarantine)
        streams = VaultStreams(agents, lambda _pod: vault)
        server = FleetServer(agents, 1, _authenticate, Admission(_NoBindings(), Releases(quarantine), _exists), streams)
        port = await server.start("127.0.0.1:0", grpc.local_server_credentials())
        yield agents, port, vault
        await server.stop(0)
        await streams.close()


def volume_id(number: int) -> Uid:
    """The volume of an agent."""
    return Uid(str(uuid.UUID(int=number)))


class _NoBindings:
    """Remembers nothing: every node is a new one."""

    def of_volume(self, _volume_id: Uid) -> None:
        return None

    def of_node(self, _node_uid: Uid) -> tuple[Binding, ...]:
        return ()

    def record(self, binding: Binding) -> None:
        """Forget it."""


async def _authenticate(token: str) -> AgentPod:
    return AgentPod(token, Uid.new(), token, token)


async def _exists(_name: str, _uid: Uid) -> bool:
    return True


async def connected(holds: Callable[[], bool]) -> None:
    """Wait until agents are connected."""
    await eventually_meanwhile(holds, seconds=_TIMEOUT, what="all agents are connected")


async def _step(find: Callable[[Uid], Awaitable[object]]) -> float:
    """Median of many calls, in milliseconds."""
    took = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        await find(Uid.new())
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)


@contextmanager
def agent_process(port: int, root: Path, first: int, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process with so many agents, whose one engine works on a storage volume at `root`."""
    command = [sys.executable, "-m", "tools.bench.agents", str(port), str(root), str(first), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@contextmanager
def engine_on(root: Path, vault: Vault) -> Iterator[tuple[LocalEngine, Calls]]:
    """An engine on a new storage volume at `root`."""
    root.mkdir(parents=True)
    with Volume(root, Role.STORAGE, initialise=True) as storage:
        engine = LocalEngine(StorageEngine(storage, vault), workers=8, archive_workers=2)
        yield engine, Calls(engine, Epochs(storage))
        engine.close()


def _resident(process: Path) -> int:
    """Resident memory of a process, in KiB."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def _connect(port: int, calls: Calls, vault: RemoteVault, numbers: range) -> None:
    options = [*KEEPALIVE, ("grpc.use_local_subchannel_pool", 1)]

    def dial() -> grpc.aio.Channel:
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", grpc.local_channel_credentials(), options=options)

    def token_of(number: int) -> Callable[[], str]:
        return lambda: f"node-{number}"

    agents = [Connection(calls, vault, volume_id(number), dial, token_of(number)) for number in numbers]
    await asyncio.gather(*(agent.run() for agent in agents))


def _end_with_parent() -> None:
    """End this process when the standard input ends, which the parent holds open."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    given_port, given_root, given_first, given_count = sys.argv[1:]
    its_vault = RemoteVault()
    with engine_on(Path(given_root), its_vault) as (_, its_calls):
        its_numbers = range(int(given_first), int(given_first) + int(given_count))
        asyncio.run(_connect(int(given_port), its_calls, its_vault, its_numbers))
