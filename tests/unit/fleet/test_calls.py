"""What is asked of a node and answered: repeated, one at a time, checked on both sides."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.messages import write_entry, write_identity, write_spec
from metrics_storage.controller.fleet.agents import Agent, Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.engine.fs.walk import Progress
from metrics_storage.errors import MetricsStorageError, NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Phase, Record
from tests.contract.engine import NOW, RUNNER, SPEC
from tests.contract.fleet import NODES, Controller, eventually, node, remote, run

OUTSIDE = pb.Identity(namespace="..", name="a", uid=RUNNER.uid)
OTHER = Identity("runners", "runner-1", Uid("1b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"))


def test_a_step_whose_answer_is_lost_is_repeated_and_done_once(tmp_path: Path) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, controller):
            await engine.ensure(RUNNER, SPEC)
            (here.root / "storage" / RUNNER.relative_path / "evidence").write_text("{")
            await engine.latch(RUNNER, "not JSON", NOW)
            begun, go_on = threading.Event(), threading.Event()
            archive = here.disk.archive
            calls: list[Identity] = []

            def slow(identity: Identity, progress: Progress | None = None) -> Record:
                calls.append(identity)
                begun.set()
                assert go_on.wait(timeout=20)
                return archive(identity, progress)

            here.disk.archive = slow  # type: ignore[method-assign]
            first = asyncio.create_task(engine.archive(RUNNER))
            await eventually(begun.is_set, "archiving begins")
            controller.agents.of(here.volume_id).end("it is cut")
            with pytest.raises(NodeUnavailableError, match="it is cut"):
                await first
            await controller.server.stop(5)
            go_on.set()
            async with Controller(tmp_path, agents=controller.agents, port=0) as anew, here.connected(anew):
                record = await engine.archive(RUNNER)
            assert record.phase is Phase.VERIFIED
            assert calls == [RUNNER, RUNNER]
            assert len(list((here.root / "quarantine").glob("*/*.tar.gz"))) == 1

    run(rule())


def test_a_step_waits_for_the_same_uids_step_of_an_earlier_connection(tmp_path: Path) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here:
            running, most, done, asked = 0, 0, 0, 0
            lock = here.calls._lock

            def all_wait() -> bool:
                return most > 1 or asked == 5

            def counted(uid: Uid) -> asyncio.Lock:
                nonlocal asked
                asked += 1
                return lock(uid)

            async def ensure(*_: object) -> Any:
                nonlocal running, most, done
                running += 1
                most = max(most, running)
                if not done:
                    await eventually(all_wait, "all calls wait for the first")
                running, done = running - 1, done + 1
                raise MetricsStorageError("enough")

            here.calls._lock = counted  # type: ignore[method-assign]
            here.engine.ensure = ensure  # type: ignore[method-assign, assignment]
            call = pb.Call(epoch=1, ensure=pb.Ensure(identity=write_identity(RUNNER), spec=write_spec(SPEC)))
            await asyncio.gather(*(here.calls.answer(call) for _ in range(5)))
            assert most == 1
            assert not here.calls._locks

    run(rule())


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (pb.Call(epoch=1), "Error"),
        (pb.Call(epoch=1, find=pb.Find(uid="../../etc")), "InvalidSpec"),
        (pb.Call(epoch=1, remove=pb.Remove(identity=OUTSIDE)), "InvalidSpec"),
        (pb.Call(epoch=1, ensure=pb.Ensure(identity=write_identity(RUNNER))), "InvalidSpec"),
        (pb.Call(epoch=1, retain=pb.Retain()), "InvalidSpec"),
    ],
    ids=["no step", "a path for a uid", "a path for a namespace", "no spec", "no identity"],
)  # fmt: skip
def test_what_is_no_call_is_an_error_and_touches_nothing(tmp_path: Path, call: pb.Call, code: str) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here:
            result = await here.calls.answer(call)
            assert result.failure.code == code
            assert [path.name for path in (here.root / "storage").iterdir()] == [".metrics-storage"]

    run(rule())


class Answering(Agents):
    """An agent that answers whatever a test says."""

    def __init__(self, answer: pb.Result) -> None:
        super().__init__()
        self._answer = answer

    def of(self, volume_id: Uid) -> Agent:
        agent = Agent(NODES[1], volume_id, 1)

        async def ask(_call: pb.Call) -> pb.Result:
            return self._answer

        agent.ask = ask  # type: ignore[method-assign, assignment]
        return agent


@pytest.mark.parametrize(
    "answer",
    [
        pb.Result(),
        pb.Result(usage=pb.Usage(bytes=1)),
        pb.Result(entry=pb.Entry(record=b"{")),
        pb.Result(entry=write_entry(Record(identity=OTHER, spec=SPEC, phase=Phase.GONE))),
    ],
    ids=["nothing at all", "something else", "no JSON", "another's entry"],
)
def test_an_answer_that_does_not_fit_is_an_error_and_never_nothing(answer: pb.Result) -> None:
    engine = RemoteEngine(Answering(answer), RUNNER.uid)

    async def rule() -> None:
        with pytest.raises(MetricsStorageError):
            await engine.find(RUNNER.uid)
        with pytest.raises(MetricsStorageError):
            await engine.remove(RUNNER)

    run(rule())


def test_a_result_that_nobody_waits_for_is_dropped() -> None:
    agent = Agent(NODES[1], RUNNER.uid, 1)
    agent.take(pb.Result(id=7))


def test_who_gives_up_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    async def rule() -> None:
        agent = Agent(NODES[1], RUNNER.uid, 1)
        asking = asyncio.create_task(agent.ask(pb.Call()))
        call = await agent.next_call()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        agent.take(pb.Result(id=call.id))
        assert not agent._waiting

    run(rule())


def test_a_survey_tells_of_all_at_once_and_is_sure_of_what_is_in_its_place_alone(tmp_path: Path) -> None:
    names = ["idle", "empty", "flagged", "moved away", "emptied"]
    lives = {name: Identity("runners", f"runner-{number}", Uid.new()) for number, name in enumerate(names)}

    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, _):
            for identity in lives.values():
                await engine.ensure(identity, SPEC)
            place = {name: here.root / "storage" / identity.relative_path for name, identity in lives.items()}
            for name in ("idle", "moved away"):
                (place[name] / "metrics.json").write_text("{")
            await engine.survey()
            await engine.latch(lives["flagged"], "not JSON", NOW)
            place["moved away"].rename(tmp_path / "aside")
            place["emptied"].rmdir()
            found = await engine.survey()
            assert set(found.uids) == {identity.uid for identity in lives.values()}
            told = {name: found.provided.get(identity.uid) for name, identity in lives.items()}
            assert told["idle"] == await engine.measure(lives["idle"])
            assert told["empty"] == await engine.measure(lives["empty"])
            assert [name for name, usage in told.items() if usage is None] == ["flagged", "moved away", "emptied"]
            assert not place["emptied"].exists()

    run(rule())


def test_a_survey_waits_for_no_step(tmp_path: Path) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, _):
            for identity in (RUNNER, OTHER):
                await engine.ensure(identity, SPEC)
            begun, go_on = threading.Event(), threading.Event()
            condemn = here.disk.condemn

            def slow(identity: Identity, progress: Progress | None = None) -> Record:
                begun.set()
                assert go_on.wait(timeout=20)
                return condemn(identity, progress)

            here.disk.condemn = slow  # type: ignore[method-assign]
            condemning = asyncio.create_task(engine.condemn(RUNNER))
            await eventually(begun.is_set, "it is condemned")
            found = await engine.survey()
            assert set(found.uids) == {RUNNER.uid, OTHER.uid}
            assert set(found.provided) == {OTHER.uid}
            go_on.set()
            await condemning

    run(rule())


def test_an_agent_that_hangs_is_unavailable_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, _):

            async def never(*_: object) -> Any:
                await asyncio.Event().wait()

            here.engine.find = never  # type: ignore[method-assign, assignment]
            with monkeypatch.context() as patch:
                patch.setattr("metrics_storage.controller.fleet.remote_engine._TIMEOUT", 0.05)
                with pytest.raises(NodeUnavailableError, match="did not answer find within"):
                    await engine.find(RUNNER.uid)
            assert await engine.measure(RUNNER) is None

    run(rule())
