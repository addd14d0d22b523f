"""What the controller asks of a node: each call is one step of the engine, and every step can be repeated."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from weakref import WeakValueDictionary

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.messages import (
    read_identity,
    read_spec,
    write_entry,
    write_failure,
    write_survey,
    write_usage,
)
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.errors import MetricsStorageError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from metrics_storage.model.survey import Survey
from metrics_storage.model.usage import Usage

_log = logging.getLogger(__name__)


class Calls:
    """Carries calls out on an engine; steps that change something one at a time for each uid, whoever asks."""

    def __init__(self, engine: LocalEngine, epochs: Epochs) -> None:
        self._engine = engine
        self._epochs = epochs
        self._surveying = asyncio.Lock()
        """One survey at a time, of one directory at a time: others want the disk too."""
        self._locks: WeakValueDictionary[Uid, asyncio.Lock] = WeakValueDictionary()
        self._steps: Final[dict[str, Callable[[Any], Awaitable[pb.Result]]]] = {
            "find": self._find,
            "uids": self._uids,
            "ensure": self._ensure,
            "latch": self._latch,
            "snapshot": self._leaving_entry(engine.snapshot),
            "archive": self._leaving_entry(engine.archive),
            "condemn": self._leaving_entry(engine.condemn),
            "remove": self._leaving_entry(engine.remove),
            "retain": self._leaving_entry(engine.retain),
            "check_never_made": self._check_never_made,
            "forget": self._forget,
            "measure": self._measure,
            "survey": self._survey,
        }

    async def accept(self, epoch: int) -> None:
        """Refuse controllers of earlier epochs from now on.

        Raises:
            StaleEpochError: this one is of an earlier epoch itself.
        """
        if epoch != self._epochs.accepted:
            await asyncio.to_thread(self._epochs.accept, epoch)

    async def known(self) -> pb.Hello:
        """What a hello says of the volume: its id is the caller's to say."""
        return pb.Hello(uids=await self._engine.uids(), free_bytes=await self._engine.free_bytes())

    async def answer(self, call: pb.Call) -> pb.Result:
        """Carry a call out; what goes wrong is the result."""
        step = call.WhichOneof("step")
        try:
            await self.accept(call.epoch)
            if step is None:
                raise MetricsStorageError("this agent does not know that step: is it older than its controller?")
            result = await self._steps[step](getattr(call, step))
        except Exception as exc:
            if not isinstance(exc, MetricsStorageError | OSError):
                _log.exception("%s failed unexpectedly", step)
            result = pb.Result(failure=write_failure(exc))
        result.id = call.id
        return result

    async def _find(self, step: pb.Find) -> pb.Result:
        record = await self._engine.find(Uid(step.uid))
        return pb.Result(entry=write_entry(record)) if record else pb.Result(nothing=pb.Nothing())

    async def _uids(self, _step: pb.Uids) -> pb.Result:
        return pb.Result(uids=pb.UidList(uids=await self._engine.uids()))

    async def _ensure(self, step: pb.Ensure) -> pb.Result:
        identity, spec = read_identity(step.identity), read_spec(step.spec)
        async with self._lock(identity.uid):
            ensured = await self._engine.ensure(identity, spec)
        return pb.Result(entry=write_entry(ensured.record, ensured.repairs))

    async def _latch(self, step: pb.Latch) -> pb.Result:
        identity = read_identity(step.identity)
        async with self._lock(identity.uid):
            return pb.Result(entry=write_entry(await self._engine.latch(identity, step.reason, step.requested_at)))

    async def _check_never_made(self, step: pb.CheckNeverMade) -> pb.Result:
        identity = read_identity(step.identity)
        async with self._lock(identity.uid):
            await self._engine.check_never_made(identity, claimed=step.claimed)
        return pb.Result(nothing=pb.Nothing())

    async def _forget(self, step: pb.Forget) -> pb.Result:
        uid = Uid(step.uid)
        async with self._lock(uid):
            await self._engine.forget(uid)
        return pb.Result(nothing=pb.Nothing())

    async def _measure(self, step: pb.Measure) -> pb.Result:
        identity = read_identity(step.identity)
        async with self._lock(identity.uid):
            usage = await self._engine.measure(identity)
        return pb.Result(usage=write_usage(usage)) if usage else pb.Result(nothing=pb.Nothing())

    async def _survey(self, _step: pb.Survey) -> pb.Result:
        async with self._surveying:
            uids = await self._engine.uids()
            provided = {uid: usage for uid in uids if (usage := await self._look_at(uid)) is not None}
        return pb.Result(surveyed=write_survey(Survey(uids, provided)))

    async def _look_at(self, uid: Uid) -> Usage | None:
        """The usage of a directory, None where there is more to say of it than a survey does; nothing is repaired."""
        if self._lock(uid).locked():
            return None  # It may take as long as an archive.
        usage: Usage | None = None
        async with self._lock(uid):
            with contextlib.suppress(MetricsStorageError, OSError):  # Whoever asks for it itself is told why.
                record = await self._engine.find(uid)
                if record and record.phase is Phase.PROVISIONED and not record.quarantine:
                    measured = await self._engine.measure(record.identity)
                    if measured is not None:  # Something is there; this sees whether it is what was made.
                        await self._engine.ensure(record.identity, record.spec)
                        usage = measured
        return usage

    def _leaving_entry(self, do: Callable[[Identity], Awaitable[Record]]) -> Callable[[Any], Awaitable[pb.Result]]:
        """A step that is told whose directory it is about, and leaves a journal entry."""

        async def carry_out(step: Any) -> pb.Result:
            identity = read_identity(step.identity)
            async with self._lock(identity.uid):
                return pb.Result(entry=write_entry(await do(identity)))

        return carry_out

    def _lock(self, uid: Uid) -> asyncio.Lock:
        """What a step holds that changes something, also after its connection ended: the next one waits for it."""
        return self._locks.setdefault(uid, asyncio.Lock())
