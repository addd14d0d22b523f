"""From settings to a running agent: open and lock the volume, dial the controller, carry out what it asks for."""

import asyncio
import logging
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import grpc
from pythonjsonlogger.json import JsonFormatter

from metrics_storage.agent.calls import Calls
from metrics_storage.agent.connection import Connection, wait_for_permission
from metrics_storage.agent.health import AgentHealth, serve
from metrics_storage.agent.settings import AgentSettings
from metrics_storage.agent.vault import RemoteVault
from metrics_storage.channel.protocol import KEEPALIVE, SERVER_NAME
from metrics_storage.engine.host import LocalEngine
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.attendance import lock_when_free, lost_volume
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.volume import Role, Volume, has_marker
from metrics_storage.errors import SettingsError
from metrics_storage.logs import LogFormat

_TURN: Final = 1.0


async def run(settings: AgentSettings) -> None:
    """Run the agent until SIGTERM or SIGINT; what it is doing then goes on at its next start.

    Raises:
        asyncio.CancelledError: it was asked to end.
        SettingsError, VolumeError: it cannot start; nothing was touched.
    """
    running = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        if running is not None:
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    dial, token = partial(_dial, settings), partial(_token, settings.token_file)
    async with AsyncExitStack() as stack:
        health = AgentHealth()
        _serve_health(stack, health, settings)
        turning = asyncio.create_task(_turn(health))
        stack.callback(turning.cancel)
        new = not has_marker(settings.storage_root)
        if new:
            health.waiting_for = "whether the empty directory of this node may become its storage volume"
            await wait_for_permission(dial, token)
        storage = stack.enter_context(Volume(settings.storage_root, Role.STORAGE, initialise=new))
        await lock_when_free(storage, health)
        storage.probe()
        health.lost_volume = partial(lost_volume, storage)
        vault = RemoteVault()
        disk = StorageEngine(storage, vault)
        engine = LocalEngine(disk, workers=settings.workers, archive_workers=settings.archive_workers)
        stack.callback(engine.close)
        calls = Calls(engine, Epochs(storage))
        connection = Connection(calls, vault, storage.id, dial, token)
        health.waiting_for, health.connected = None, lambda: connection.connected
        await connection.run()


def _serve_health(stack: AsyncExitStack, health: AgentHealth, settings: AgentSettings) -> None:
    host, port = settings.health_address
    try:
        stack.callback(serve(health, host, port))
    except OSError as exc:
        raise SettingsError(f"health address {host}:{port}: {exc.strerror or exc}") from exc


async def _turn(health: AgentHealth) -> None:
    while True:
        health.turned_at = time.monotonic()
        await asyncio.sleep(_TURN)


def _dial(settings: AgentSettings) -> grpc.aio.Channel:
    """A channel to the controller, whose certificate is read anew each time: it may have been renewed."""
    host, port = settings.controller
    credentials = grpc.ssl_channel_credentials(settings.ca_file.read_bytes())
    options = [*KEEPALIVE, ("grpc.ssl_target_name_override", SERVER_NAME)]
    return grpc.aio.secure_channel(f"{host}:{port}", credentials, options=options)


def _token(file: Path) -> str:
    """The token as it is now: the kubelet renews it."""
    return file.read_text(encoding="utf-8").strip()


def configure_logging(log_format: LogFormat) -> None:
    """Log to standard error, one line each."""
    handler = logging.StreamHandler()
    if log_format is LogFormat.JSON:
        fields = {"asctime": "timestamp", "levelname": "severity"}
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(message)s", rename_fields=fields))
    else:
        handler.setFormatter(logging.Formatter("[%(asctime)s] %(name)s [%(levelname)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
