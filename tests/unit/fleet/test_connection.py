"""Who may connect, what an interrupted connection means, and which controller is listened to."""

import asyncio
import logging
from pathlib import Path

import grpc
import pytest

from metrics_storage.agent.connection import Connection
from metrics_storage.channel import channel_pb2 as pb
from metrics_storage.channel.protocol import AUTHORIZATION, VERSION
from metrics_storage.channel.transport import connect_on
from metrics_storage.controller.fleet.agents import AgentPod
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.errors import MetricsStorageError, NodeUnavailableError, StaleEpochError
from metrics_storage.model.identity import Uid
from metrics_storage.model.record import Phase
from tests.contract.engine import RUNNER, SPEC
from tests.contract.fleet import NODES, Controller, Node, eventually, node, remote, run


async def refused(connection: Connection, caplog: pytest.LogCaptureFixture, said: str) -> None:
    """Let a connection try until it says why it is not taken."""
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(connection.run())
        await eventually(lambda: said in caplog.text, f"{said!r} is said, not {caplog.text!r}")
        running.cancel()
    assert not connection.connected


def test_an_agent_that_is_away_is_unknown_and_never_nothing(tmp_path: Path) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here, Controller(tmp_path) as controller:
            engine = RemoteEngine(controller.agents, here.volume_id)
            with pytest.raises(NodeUnavailableError, match="not connected"):
                await engine.find(RUNNER.uid)
            async with here.connected(controller):
                assert await engine.find(RUNNER.uid) is None
            await eventually(lambda: len(controller.agents) == 0, "the end of the connection is noticed")
            with pytest.raises(NodeUnavailableError, match="not connected"):
                await engine.find(RUNNER.uid)

    run(rule())


def test_whoever_shows_no_token_of_an_agent_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here, Controller(tmp_path) as controller:
            await refused(here.connection(controller.port, "stolen"), caplog, "not that of an agent's Pod")
            assert len(controller.agents) == 0

    run(rule())


def test_a_token_that_cannot_be_reviewed_now_is_shown_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_token: str) -> AgentPod | None:
        raise MetricsStorageError("the API server does not answer")

    async def rule() -> None:
        async with node(tmp_path) as here, Controller(tmp_path) as controller:
            controller.server._authenticate = fails
            await refused(here.connection(controller.port), caplog, "cannot be reviewed now: the API server does not")

    run(rule())


def test_an_agent_of_another_version_is_refused_and_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metrics_storage.agent.connection.VERSION", VERSION + 1)

    async def rule() -> None:
        async with node(tmp_path) as here, Controller(tmp_path) as controller:
            await refused(here.connection(controller.port), caplog, "run the same image on both sides")

    run(rule())


@pytest.mark.parametrize(
    "first",
    [
        pb.FromAgent(),
        pb.FromAgent(result=pb.Result(id=1)),
        pb.FromAgent(hello=pb.Hello(protocol=VERSION, volume_id="../storage\n")),
    ],
    ids=["nothing", "a result", "a hello with an odd volume"],
)
def test_a_connection_that_does_not_begin_with_a_hello_is_ended(tmp_path: Path, first: pb.FromAgent) -> None:
    async def rule() -> None:
        async with Controller(tmp_path) as controller:
            address = f"127.0.0.1:{controller.port}"
            async with grpc.aio.secure_channel(address, grpc.local_channel_credentials()) as channel:
                stream = connect_on(channel)(metadata=((AUTHORIZATION, "Bearer token-1"),))
                await stream.write(first)
                assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(rule())


def test_a_copy_of_a_nodes_disk_on_another_node_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, controller):
            copy = here.connection(controller.port, "token-2")
            await refused(copy, caplog, "was a disk moved or copied?")
            assert await engine.find(RUNNER.uid) is None

    run(rule())


def test_an_agent_that_dials_again_takes_the_place_of_its_earlier_connection(tmp_path: Path) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (engine, here, controller):
            before = controller.agents.of(here.volume_id)
            again = asyncio.create_task(here.connection(controller.port).run())
            await eventually(lambda: controller.agents.of(here.volume_id) is not before, "it is connected anew")
            assert await engine.find(RUNNER.uid) is None
            again.cancel()

    run(rule())


def test_a_controller_that_was_replaced_is_refused_from_then_on(tmp_path: Path) -> None:
    async def rule() -> None:
        async with (
            node(tmp_path) as here,
            Controller(tmp_path, epoch=1) as older,
            Controller(tmp_path, epoch=2) as newer,
        ):
            engine = RemoteEngine(older.agents, here.volume_id)
            async with here.connected(older):
                await engine.ensure(RUNNER, SPEC)
                async with here.connected(newer):
                    with pytest.raises(StaleEpochError, match="epoch 1 is over"):
                        await engine.remove(RUNNER)
                    record = await RemoteEngine(newer.agents, here.volume_id).find(RUNNER.uid)
                    assert record is not None
                    assert record.phase is Phase.PROVISIONED

    run(rule())


def test_a_replaced_controller_is_not_listened_to_after_a_restart_either(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here, Controller(tmp_path, epoch=7) as newer, here.connected(newer):
            pass
        async with node(tmp_path) as here, Controller(tmp_path, epoch=6) as older:
            await refused(here.connection(older.port), caplog, "another controller has taken over")

    run(rule())


def test_a_node_says_of_itself_only_what_its_token_does_not_prove(tmp_path: Path) -> None:
    async def rule() -> None:
        async with remote(tmp_path) as (_, here, controller):
            assert controller.agents.of(here.volume_id).pod == NODES[1]
            assert "node" not in pb.Hello.DESCRIPTOR.fields_by_name

    run(rule())


def connections(here: Node, controller: Controller) -> list[Connection]:
    return [here.connection(controller.port, f"token-{number}", Uid.new()) for number in range(len(NODES))]


def test_agents_that_lost_their_controller_come_back_by_themselves(tmp_path: Path) -> None:
    async def rule() -> None:
        async with node(tmp_path) as here:
            controller = await Controller(tmp_path).__aenter__()
            running = [asyncio.create_task(connection.run()) for connection in connections(here, controller)]
            await eventually(lambda: len(controller.agents) == 20, "all are connected")
            await controller.__aexit__()
            await eventually(lambda: len(controller.agents) == 0, "none is connected")
            async with Controller(tmp_path, epoch=2, port=controller.port) as anew:
                await eventually(lambda: len(anew.agents) == 20, "all are connected again")
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    run(rule())
