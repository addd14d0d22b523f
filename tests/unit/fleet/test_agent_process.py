"""An agent as a process: its settings, its probes, and an empty directory that may become a volume."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from metrics_storage.agent.connection import wait_for_permission
from metrics_storage.agent.health import AgentHealth, serve
from metrics_storage.agent.settings import AgentSettings
from metrics_storage.cli.agent import agent
from metrics_storage.cli.main import main
from metrics_storage.model.bindings import Binding
from metrics_storage.model.identity import Uid
from tests.contract.fleet import NODES, Controller, run
from tools.installation.process import free_port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def health(port: int) -> Iterator[AgentHealth]:
    health = AgentHealth()
    stop = serve(health, "127.0.0.1", port)
    yield health
    stop()


def answer(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as said:
            return int(said.status), said.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def test_an_agent_is_ready_while_it_is_connected(health: AgentHealth, port: int) -> None:
    health.waiting_for = "the lock"
    assert answer(port, "/readyz") == (503, "waiting: the lock\n")
    health.waiting_for = None
    assert answer(port, "/readyz") == (503, "not connected to the controller\n")
    health.connected = lambda: True
    assert answer(port, "/readyz") == (200, "ok\n")
    assert answer(port, "/metrics")[0] == 404


def test_an_agent_that_hangs_or_has_lost_its_disk_is_started_anew(health: AgentHealth, port: int) -> None:
    assert answer(port, "/livez") == (200, "ok\n")
    health.lost_volume = lambda: "storage volume /srv: no such device"
    assert answer(port, "/livez") == (503, "storage volume /srv: no such device\n")
    health.turned_at -= 61
    assert answer(port, "/livez")[1].startswith("the event loop has not turned for 61 s")


def test_settings_have_defaults_as_a_pod_has_them() -> None:
    needed = ["--storage-root=/s", "--controller=controller.example.com:8443"]
    found = AgentSettings(**agent.make_context("agent", needed).params)
    assert found.controller == ("controller.example.com", 8443)
    assert found == AgentSettings(storage_root=Path("/s"), controller=("controller.example.com", 8443))


def test_a_missing_setting_of_an_agent_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metrics-storage: --storage-root or METRICS_STORAGE_STORAGE_ROOT is missing",
        "metrics-storage: --controller or METRICS_STORAGE_CONTROLLER is missing",
    ]


def test_a_controller_of_agents_needs_no_storage_volume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--agents"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metrics-storage: --quarantine-root or METRICS_STORAGE_QUARANTINE_ROOT is missing"
    ]


def test_an_empty_directory_becomes_a_volume_where_none_of_the_node_was_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def rule() -> None:
        async with Controller(tmp_path) as controller:

            def dial() -> grpc.aio.Channel:
                address = f"127.0.0.1:{controller.port}"
                return grpc.aio.secure_channel(address, grpc.local_channel_credentials())

            await wait_for_permission(dial, lambda: "token-1")
            assert len(controller.agents) == 0
            controller.bindings.record(Binding(Uid.new(), NODES[1].node, NODES[1].node_uid))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait_for_permission(dial, lambda: "token-1"), timeout=0.3)
            assert "is the disk not mounted, or replaced" in caplog.text
            await wait_for_permission(dial, lambda: "token-2")

    run(rule())
