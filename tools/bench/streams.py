"""An archive that goes from an agent's process to its controller's vault, against the same one written locally."""

import asyncio
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from metrics_storage.controller.engine_api import Engine
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.spec import StorageSpec
from tools.bench.agents import agent_process, connected, controller, engine_on, volume_id

_ROUNDS: Final = 3
_LINE: Final = b'{"metric": "duration", "value": %d, "labels": {"job": "build", "step": "compile"}}\n'


def measure(mebibytes: int) -> None:
    """Print how fast archives of so many MiB are written and verified, here and across the channel."""
    asyncio.run(_measure(mebibytes))


async def _measure(mebibytes: int) -> None:
    print("archives: frozen, archived, verified, compared and committed; median of", _ROUNDS)
    for kind, fill in {"text": _text, "random": os.urandom}.items():
        with tempfile.TemporaryDirectory(prefix="bench-streams-") as directory:
            root = Path(directory)
            async with controller(root) as (agents, port, vault):
                with ExitStack() as stack:
                    process = stack.enter_context(agent_process(port, root / "there", 0, 1))
                    await connected(lambda: len(agents) == 1)
                    engine, _calls = stack.enter_context(engine_on(root / "here", vault))
                    sites: dict[str, Engine] = {"here": engine, "there": RemoteEngine(agents, volume_id(0))}
                    took: dict[str, list[float]] = {name: [] for name in sites}
                    for _ in range(_ROUNDS):
                        for name, site in sites.items():
                            took[name].append(await _archive(site, root / name, fill(mebibytes << 20)))
                    peak = _peak(process.pid)
        here, there = (mebibytes / statistics.median(took[name]) for name in ("here", "there"))
        print(
            f"  {mebibytes} MiB of {kind}: {here:.0f} MiB/s in one process, {there:.0f} MiB/s over the channel: "
            f"{there / here:.2f}; the agent had {peak >> 10} MiB at most"
        )


async def _archive(engine: Engine, volume: Path, content: bytes) -> float:
    """Seconds for the archive of a new directory with this in it."""
    identity = Identity("bench", "runner", Uid.new())
    await engine.ensure(identity, StorageSpec(owner=f"{os.getuid()}:{os.getgid()}"))
    (volume / identity.relative_path / "metrics").write_bytes(content)
    await engine.latch(identity, "measured", "2026-01-01T00:00:00Z")
    began = time.perf_counter()
    await engine.archive(identity)
    took = time.perf_counter() - began
    await engine.remove(identity)
    return took


def _text(size: int) -> bytes:
    lines = b"".join(_LINE % number for number in range(10_000))
    return (lines * (size // len(lines) + 1))[:size]


def _peak(process: int) -> int:
    """Most resident memory that a process has had, in KiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
