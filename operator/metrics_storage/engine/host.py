"""An engine and a scrubber on volumes of this machine, as asynchronous calls with threads behind them."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, TypeVar

from metrics_storage.engine.archives.scrub import Pace, Scrubber
from metrics_storage.engine.archives.store import ArchiveStore
from metrics_storage.engine.fs.walk import Progress, within
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Volume
from metrics_storage.errors import InterruptedByEndError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Ensured, Record
from metrics_storage.model.scrubbing import Finding, ScrubState
from metrics_storage.model.spec import StorageSpec
from metrics_storage.model.usage import Usage

_T = TypeVar("_T")

_SNAPSHOT_TIMEOUT: Final = 1800.0
"""Seconds for a provisional archive, once a thread is free for it."""

_SNAPSHOT_SHARE: Final = 60.0
"""Seconds that the first attempt at one gets while others wait; every further one gets twice as long."""


class LocalEngine:
    """An engine on volumes that this process has mounted; disk work runs in threads.

    Archives and removals, which may take long, have threads of their own and never hold up provisioning.
    """

    def __init__(self, engine: StorageEngine, *, workers: int, archive_workers: int) -> None:
        self._engine = engine
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="disk")
        self._archivers = ThreadPoolExecutor(archive_workers, thread_name_prefix="archive")
        # Of its own: who is still at work in a directory could keep the archivers from everybody else's evidence.
        self._snapshotters = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._snapshots = 0
        """Provisional archives that are being made or wait for a thread."""
        self._shares: dict[str, float] = {}
        self._removers = ThreadPoolExecutor(workers, thread_name_prefix="remove")
        self._stopping = threading.Event()

    def close(self) -> None:
        """Interrupt archives and removals, and wait for what runs; everything goes on at the next start."""
        self._stopping.set()
        for pool in (self._workers, self._archivers, self._snapshotters, self._removers):
            pool.shutdown(cancel_futures=True)

    async def find(self, uid: Uid) -> Record | None:
        return await self._run(lambda: self._engine.find(uid))

    async def uids(self) -> Collection[Uid]:
        return await self._run(lambda: list(self._engine.uids()))

    async def free_bytes(self) -> int:
        """Bytes that are free on the storage volume."""
        return await self._run(self._engine.free_bytes)

    async def ensure(self, identity: Identity, spec: StorageSpec) -> Ensured:
        return await self._run(lambda: self._engine.ensure(identity, spec))

    async def latch(self, identity: Identity, reason: str, requested_at: str) -> Record:
        return await self._run(lambda: self._engine.latch(identity, reason, requested_at))

    async def snapshot(self, identity: Identity) -> Record:
        self._snapshots += 1
        try:
            return await self._run(
                lambda: self._engine.snapshot(identity, self._share_of(identity.uid)), self._snapshotters
            )
        finally:
            self._snapshots -= 1

    async def archive(self, identity: Identity) -> Record:
        return await self._run(lambda: self._engine.archive(identity, self._go_on), self._archivers)

    async def condemn(self, identity: Identity) -> Record:
        # For a quarantine it reads the archive once more.
        record = await self.find(identity.uid)
        pool = self._archivers if record and record.quarantine else self._workers
        return await self._run(lambda: self._engine.condemn(identity, self._go_on), pool)

    async def remove(self, identity: Identity) -> Record:
        return await self._run(lambda: self._engine.remove(identity, self._go_on), self._removers)

    async def retain(self, identity: Identity) -> Record:
        return await self._run(lambda: self._engine.retain(identity))

    async def check_never_made(self, identity: Identity, *, claimed: bool) -> None:
        await self._run(lambda: self._engine.check_never_made(identity, claimed=claimed))

    async def forget(self, uid: Uid) -> None:
        self._shares.pop(uid, None)
        await self._run(lambda: self._engine.forget(uid))

    async def measure(self, identity: Identity) -> Usage | None:
        return await self._run(lambda: self._engine.measure(identity, self._go_on))

    async def _run(self, call: Callable[[], _T], pool: Executor | None = None) -> _T:
        return await asyncio.get_running_loop().run_in_executor(pool or self._workers, call)

    def _share_of(self, uid: Uid) -> Progress:
        """What lets a provisional archive go on for its share of time, and longer while nobody waits behind it."""
        share = self._shares.get(uid, _SNAPSHOT_SHARE)
        self._shares[uid] = min(2 * share, _SNAPSHOT_TIMEOUT)
        began = time.monotonic()

        def go_on(bytes_: int, entries: int) -> None:
            self._go_on(bytes_, entries)
            if time.monotonic() - began > share and self._snapshots > 1:
                raise TimeoutError(f"{share:g} s are over and others wait; the next attempt gets twice as long")

        return within(_SNAPSHOT_TIMEOUT, go_on)

    def _go_on(self, _bytes: int, _entries: int) -> None:
        if self._stopping.is_set():
            raise InterruptedByEndError("interrupted by the operator's end; it goes on at the next start")


class LocalScrubber:
    """Reads the archives of a quarantine volume again, in a thread of its own.

    The thread has the usual priority: one of low priority could hold the interpreter's lock without getting the
    processor, and hold up everything else. Its share is bounded by the rate instead.
    """

    def __init__(self, quarantine: Volume, find: Callable[[Uid], Record | None], *, rate: float) -> None:
        """Read at most `rate` bytes of content a second; digests must agree with the journal, of which `find` tells."""
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scrub")
        self._scrubber = Scrubber(ArchiveStore(quarantine), Pace(rate, self._stopping), find)

    def close(self) -> None:
        """Interrupt what is being read and wait for the thread."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)

    @property
    def state(self) -> ScrubState:
        return self._scrubber.state

    async def count(self) -> None:
        await self._run(self._scrubber.count)

    async def begin_round(self) -> None:
        await self._run(self._scrubber.begin_round)

    async def step(self) -> Finding | None:
        return await self._run(self._scrubber.step)

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
