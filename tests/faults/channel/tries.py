"""A quarantine that a controller asks a node for, while the connection between them fails at one place."""

import asyncio
import itertools
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metrics_storage.controller.fleet.agents import Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.errors import MetricsStorageError, NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec
from tests.contract.fleet import Controller, Node, node
from tests.faults.channel.relay import DOWN, ENDS, FROM_VAULT, TO_VAULT, UP, Fate, Place, Relay, Wire
from tests.faults.crash.checker import judge
from tests.faults.crash.history import History, Subject, Violation
from tests.faults.crash.lives import MODE, NAME, NAMESPACE, OWNER, UIDS
from tests.faults.evidence import snapshot

_IDENTITY: Final = Identity(NAMESPACE, NAME, Uid(UIDS[0]))
_SPEC: Final = StorageSpec(owner=f"{OWNER}:{OWNER}", mode=f"{MODE:04o}")
_REASON: Final = "not JSON"
_TIMEOUT: Final = 30.0
"""Seconds for a life; most take a fifth of one."""

_ATTEMPTS: Final = 20
_PAUSE: Final = 0.005
"""Seconds between two attempts at a step or a connection."""

_root = Path()


@dataclass(frozen=True, slots=True)
class Point:
    """A place where something happens to a message (`fate`), or the wire is cut (`fate` is None)."""

    place: Place
    fate: Fate | None = None

    @property
    def kind(self) -> str:
        """What is counted."""
        if self.fate in ENDS:
            return f"messages {self.fate}"
        return f"messages that are {self.fate}" if self.fate else "wires cut"

    def __str__(self) -> str:
        return f"{self.kind}, at {self.place.number} {self.place.direction}"


def prepare(root: Path) -> None:
    """Begin as a worker, with a directory of one's own below `root`."""
    global _root  # noqa: PLW0603 - one worker, one process
    logging.disable(logging.ERROR)  # Agents tell of every connection that is cut.
    _root = root / f"channel-{os.getpid()}"
    _root.mkdir()


def count(_: object = None) -> dict[str, int]:
    """How many messages and bytes a life without any fault has, as `messages up` and the like.

    In how many pieces a file goes to the vault is not the same each time: it is as the socket has them.
    """
    counted: dict[str, int] = {}
    _run(None, lambda relay, wire: counted.update(_counts(relay, wire)))
    return counted


def points(counted: dict[str, int], every: int, every_end: int = 1) -> Iterator[Point]:
    """Every message with every fate, or each so manieth where a side ends, and every so manieth byte."""
    for direction in (UP, DOWN, TO_VAULT, FROM_VAULT):
        for number, fate in itertools.product(range(counted[f"messages {direction}"]), Fate):
            if fate not in ENDS or number % every_end == 0:
                yield Point(Place(direction, number), fate)
    for direction in (UP, DOWN):
        for number in range(0, counted[f"bytes {direction}"], every):
            yield Point(Place(direction, number))


def try_point(point: Point) -> list[str]:
    """What a fault broke."""
    return [f"{point}: {problem}" for problem in _run(point, lambda _relay, _wire: None)]


def _counts(relay: Relay, wire: Wire) -> dict[str, int]:
    messages = {f"messages {direction}": number for direction, number in relay.counted.items()}
    return messages | {f"bytes {direction}": number for direction, number in wire.counted.items()}


def _run(point: Point | None, look: Callable[[Relay, Wire], None]) -> list[str]:
    place = _root / "life"
    place.mkdir()
    try:
        return asyncio.run(_live(place, point, look))
    finally:
        shutil.rmtree(place)


async def _live(root: Path, point: Point | None, look: Callable[[Relay, Wire], None]) -> list[str]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        controllers = await enter(_Controllers(root))
        controller = controllers.now
        message = point is not None and point.fate is not None
        relay = await enter(
            Relay(controller.port, point.place if point and message else None, (point and point.fate) or Fate.LOST)
        )
        wire = await enter(Wire(relay.port, point.place if point and not message else None).laid())
        if point and point.fate is Fate.AGENT_KILLED:
            killed = await enter(_KilledAgent(root, wire.port))
            relay.end, volume_id = killed.begin_anew, killed.volume_id
        else:
            here = await enter(node(root))
            await enter(_dialling(here, wire.port))
            volume_id = here.volume_id

            async def replace() -> None:
                relay.controller = await controllers.replace()

            relay.end = replace
        life = _Life(root, volume_id, controller.agents)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await life.live()
        except (TimeoutError, MetricsStorageError) as exc:
            life.found.append(Violation("P9", f"stopped: {exc or 'it does not end'}"))
        look(relay, wire)
        return [str(violation) for violation in life.found]


@asynccontextmanager
async def _dialling(here: Node, port: int) -> AsyncIterator[None]:
    connection = here.connection(port, first_pause=_PAUSE)
    running = asyncio.create_task(connection.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Controllers:
    """A controller, and whichever replaces it, on the same vault."""

    def __init__(self, root: Path) -> None:
        self.now = Controller(root)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "_Controllers":
        await self._stack.enter_async_context(self.now)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def replace(self) -> int:
        """End it without waiting for what it does, and begin another one; returns the port of that one."""
        before = self.now
        before.agents.end("the controller was replaced")
        self.now = Controller(before.root, epoch=before.epoch + 1, agents=before.agents, bindings=before.bindings)
        await self._stack.enter_async_context(self.now)
        return self.now.port


class _KilledAgent:
    """An agent in a process of its own, which can be killed."""

    def __init__(self, root: Path, port: int) -> None:
        self._command = (sys.executable, "-m", "tests.faults.channel.agent", str(root), str(port))
        self._process: asyncio.subprocess.Process | None = None
        self.volume_id = Uid(UIDS[0])

    async def __aenter__(self) -> "_KilledAgent":
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._kill()

    async def begin_anew(self) -> None:
        """Kill it, and begin another one on its volume."""
        await self._kill()
        await self._begin()

    async def _begin(self) -> None:
        # Without a function that runs before exec: it would be called where gRPC has lost its threads.
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        self.volume_id = Uid((await self._process.stdout.readline()).decode().strip())

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class _Life:
    """A controller's steps, each again and again until it is done, and the judgement after each."""

    def __init__(self, root: Path, volume_id: Uid, agents: Agents) -> None:
        self.found: list[Violation] = []
        self._engine = RemoteEngine(agents, volume_id)
        self._subject = Subject(NAMESPACE, NAME, UIDS[0], OWNER, MODE)
        self._history = History(root / "storage", root / "quarantine", [self._subject])
        self._root = root
        self._live = root / "storage" / _IDENTITY.relative_path

    async def live(self) -> None:
        engine, subject = self._engine, self._subject
        await self._do("create", lambda: engine.ensure(_IDENTITY, _SPEC))
        (self._live / "metrics.json").write_text("{")
        (self._live / "nested").mkdir()
        (self._live / "nested" / "log").write_text("evidence" * 1000)
        subject.content = snapshot.take(self._live)
        await self._do("measure", lambda: engine.measure(_IDENTITY))
        await self._do("latch", lambda: engine.latch(_IDENTITY, _REASON, "2026-01-01T00:00:00Z"))
        subject.reason = _REASON
        await self._do("snapshot", lambda: engine.snapshot(_IDENTITY))
        await self._do("archive", lambda: engine.archive(_IDENTITY))
        await self._do("remove", lambda: engine.remove(_IDENTITY))
        self._judge()
        if len(self._history.committed) != 4:
            self.found.append(Violation("P9", f"made {sorted(self._history.committed)}, not two archives"))
        if left := list((self._root / "quarantine" / ".metrics-storage" / "incoming").iterdir()):
            self.found.append(Violation("P9", f"left {left} behind"))
        await self._do("forget", lambda: engine.forget(_IDENTITY.uid))
        if await self._again(lambda: engine.find(_IDENTITY.uid)) is not None:
            self.found.append(Violation("P9", "is not forgotten"))
        self._judge("gone")

    async def _do(self, action: str, step: Callable[[], Awaitable[object]]) -> None:
        self._subject.begun.add(action)
        await self._again(step)
        self._subject.done.add(action)
        self._judge()

    async def _again(self, step: Callable[[], Awaitable[object]]) -> object:
        """As the controller does: an agent that is away is asked again, and anything else a few times."""
        failures = 0
        while True:
            try:
                return await step()
            except NodeUnavailableError:
                await asyncio.sleep(_PAUSE)
            except (MetricsStorageError, OSError):
                failures += 1
                if failures == _ATTEMPTS:
                    raise
                await asyncio.sleep(_PAUSE)

    def _judge(self, *ends: str) -> None:
        self.found += judge(self._history, ends=ends)
