"""`metrics-storage agent`: the engine on the storage volume of one node."""

import asyncio
import contextlib
import logging
from dataclasses import MISSING, fields
from typing import Any, Final

import click

from metrics_storage.agent.settings import AgentSettings
from metrics_storage.cli.command import Command, Decorator, variable
from metrics_storage.cli.options import setting
from metrics_storage.cli.values import Checked, Choice, absolute, address, number
from metrics_storage.cli.written import written
from metrics_storage.errors import MetricsStorageError
from metrics_storage.logs import LogFormat

_DEFAULTS: Final = {field.name: field.default for field in fields(AgentSettings)}
_EXTRA: Final = ("grpc", "google", "pythonjsonlogger")
"""Packages that only agents and their controller need."""


def _flag(name: str, metavar: str, kind: click.ParamType[Any], text: str) -> Decorator:
    """A flag whose name and default are those of a field of `AgentSettings`."""
    default = _DEFAULTS[name.replace("-", "_")]
    attributes = {"required": True} if default is MISSING else {"default": default, "written": written(default)}
    return setting(f"--{name}", metavar=metavar, type=kind, envvar=variable(name), help=text, **attributes)


@click.command(
    "agent",
    cls=Command,
    epilog="It needs no right at the API server, and asks it for nothing.",
    examples=(
        "metrics-storage agent --storage-root /var/lib/metrics-storage/storage \\\n"
        "    --controller metrics-storage-controller.metrics-storage.svc:8443",
    ),
)
@_flag("storage-root", "DIR", Checked("directory", absolute), "where this node's storage volume is mounted")
@_flag("controller", "HOST:PORT", Checked("address", address), "where the controller listens for agents")
@_flag("token-file", "FILE", Checked("file", absolute), "the token of this Pod, for the audience metrics-storage")
@_flag("ca-file", "FILE", Checked("file", absolute), "the controller's certificate, in PEM")
@_flag("workers", "N", number(1, int), "threads for work on the storage volume")
@_flag("archive-workers", "N", number(1, int), "archives written at the same time")
@_flag("health-address", "HOST:PORT", Checked("address", address), "where /livez and /readyz answer")
@_flag("log-format", "FORMAT", Choice(LogFormat), "plain or json")
def agent(**values: Any) -> int:
    """Serve the directories of one node to a controller (run --agents) until SIGTERM.

    Every flag is an environment variable too: --storage-root is METRICS_STORAGE_STORAGE_ROOT, and so on; the flag wins.
    """
    settings = AgentSettings(**values)
    try:
        from metrics_storage.agent import startup  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MetricsStorageError(
            f"agent needs {exc.name}, which is not installed: pip install 'metrics-storage-operator[agents]'"
        ) from exc

    startup.configure_logging(settings.log_format)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(startup.run(settings))
    except OSError:
        # Nobody foresaw it: the log has to tell where it came from.
        logging.getLogger(__name__).exception("the agent ends")
        return 1
    return 0
