"""A sweep over many nodes: one call to each, and nothing made that was not placed."""

from pathlib import Path
from typing import cast

import pytest

from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.controller.fleet.agents import Agent
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.controller.sweep import Sweep
from metrics_storage.errors import KubernetesError, NodeUnavailableError, ObjectChangedError
from metrics_storage.kube.api import Api
from tests.contract.fleet import run
from tests.unit.fleet.world import fleet


def test_a_sweep_makes_nothing_before_its_place_is_written_down(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = made.apply(0)
            body["metadata"]["finalizers"] = ["metricsstorage.dev/directory"]

            def refuse(verb: str, _resource: object) -> None:
                if verb == "patch status":
                    raise KubernetesError("refused", 422)

            made.api.before = refuse
            with pytest.raises(ObjectChangedError):
                await made.reconciler.reconcile(body)
            with pytest.raises(ObjectChangedError):
                await made.reconciler.look_after(body, bound=False)
            assert not made.directory(0, body).exists()

    run(rule())


def test_a_sweep_asks_each_node_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            bodies = [made.apply(number) for number in range(6)]
            for body in bodies:
                body["metadata"]["finalizers"] = ["metricsstorage.dev/directory"]
                body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
                await made.reconciler.reconcile(body)
            watched = [body["metadata"]["uid"] for body in bodies]
            sweep = Sweep(cast("Api", made.api), made.sites, made.reconciler, interval=60, watched=watched.__contains__)
            await sweep.once()  # Which measures all for the first time.
            number = 0 if bodies[0]["status"]["nodeName"] == "node-0" else 1
            (made.directory(number, bodies[0]) / "metrics.json").write_text("{" * 100_000)
            steps: list[str] = []
            ask = Agent.ask

            async def asked(agent: Agent, call: pb.Call) -> pb.Result:
                steps.append(str(call.WhichOneof("step")))
                return await ask(agent, call)

            monkeypatch.setattr(Agent, "ask", asked)
            await sweep.once()
            assert steps == ["survey", "survey", "find", "ensure", "measure"]
            assert bodies[0]["status"]["usage"]["files"] == 1
            steps.clear()
            writes: list[str] = []
            made.api.before = lambda verb, _resource: writes.append(verb)
            await sweep.once()
            assert steps == ["survey", "survey"]
            assert set(writes) == {"list"}

    run(rule())


def test_a_survey_that_takes_too_long_still_tells_what_a_journal_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(_engine: object) -> None:
        raise NodeUnavailableError("did not answer survey within 60 s")

    async def rule() -> None:
        async with fleet(tmp_path, 1) as made:
            body = made.apply(0)
            await made.reconciler.reconcile(body)
            monkeypatch.setattr(RemoteEngine, "survey", late)
            (survey,) = (await made.sites.survey()).values()
            assert list(survey.uids) == [body["metadata"]["uid"]]
            assert survey.provided == {}

    run(rule())


def test_a_node_that_cannot_be_surveyed_is_left_out(tmp_path: Path) -> None:
    async def rule() -> None:
        async with fleet(tmp_path) as made:
            for agent in list(made.controller.agents)[:1]:
                agent.end("it is cut")
            assert len(await made.sites.survey()) == 1

    run(rule())
