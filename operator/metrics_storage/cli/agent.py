"""`metrics-storage agent`: the engine on the storage volume of one node."""

from typing import Any, Final

import click

from metrics_storage.agent.settings import AgentSettings
from metrics_storage.cli.command import Command
from metrics_storage.cli.process import flags_of, needing, run_until_asked
from metrics_storage.cli.values import Checked, Choice, absolute, address, number
from metrics_storage.logs import LogFormat

_EXTRA: Final = ("grpc", "google", "pythonjsonlogger")
"""Packages that only agents and their controller need."""

_flag = flags_of(AgentSettings)


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
    with needing("agent", _EXTRA, "agents"):
        from metrics_storage.agent import startup  # noqa: PLC0415

    startup.configure_logging(settings.log_format)
    return run_until_asked(startup.run(settings), "agent")
