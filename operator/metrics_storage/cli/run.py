"""`run`: the operator, until SIGTERM. Every flag is an environment variable too, and the flag wins."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, Final

import click

from metrics_storage.cli.command import Command, Decorator, variable
from metrics_storage.cli.options import setting
from metrics_storage.cli.values import Checked, Choice, absolute, address, kubernetes_name, number
from metrics_storage.cli.written import written
from metrics_storage.controller.settings import Settings
from metrics_storage.errors import MetricsStorageError
from metrics_storage.logs import LogFormat

_DEFAULTS: Final = {field.name: field.default for field in fields(Settings)}
_EXTRA: Final = ("kopf", "aiohttp", "kubernetes", "urllib3", "grpc", "google", "cryptography")
"""Packages that only the operator needs."""


_UNLESS_AGENTS: Final = ("storage_root", "volume_source")
"""Fields that are needed where the operator has a storage volume itself."""


def _flag(name: str, metavar: str, kind: click.ParamType[Any], text: str) -> Decorator:
    """A flag whose name and default are those of a field of `Settings`."""
    field = name.replace("-", "_")
    default = _DEFAULTS[field]
    if default is MISSING or field in _UNLESS_AGENTS:
        attributes: dict[str, Any] = {"required": True, "unless": "agents" if field in _UNLESS_AGENTS else ""}
    else:
        attributes = {"default": default, "written": written(default)}
    return setting(f"--{name}", metavar=metavar, type=kind, envvar=variable(name), help=text, **attributes)


def _split(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(values).replace(",", " ").split())


@click.command(
    "run",
    cls=Command,
    epilog="The cluster is the Pod's own, elsewhere that of KUBECONFIG or ~/.kube/config.",
    examples=(
        "metrics-storage run --storage-root /var/lib/metrics-storage/storage \\\n"
        "    --quarantine-root /var/lib/metrics-storage/quarantine \\\n"
        "    --volume-source claim:metrics-storage/metrics-storage",
        'METRICS_STORAGE_NAMESPACE="runners-a runners-b" metrics-storage run \\\n'
        "    --storage-root /srv/metrics --quarantine-root /mnt/evidence \\\n"
        "    --volume-source nfs:nas.example.com:/export/metrics --log-format json",
        "metrics-storage run --agents --quarantine-root /mnt/evidence \\\n    --operator-namespace metrics-storage",
    ),
)
@click.option(
    "--agents",
    is_flag=True,
    is_eager=True,
    envvar=variable("agents"),
    help="Have agents on many nodes, which dial in, instead of a storage volume here.",
)
@_flag("storage-root", "DIR", Checked("directory", absolute), "where the storage volume is mounted")
@_flag("quarantine-root", "DIR", Checked("directory", absolute), "where the quarantine volume is mounted")
@_flag(
    "volume-source",
    "SOURCE",
    click.STRING,
    "where runners' volumes point: claim:<namespace>/<name> (the operator's own storage claim), hostpath:<dir> or "
    "nfs:<server>:<dir>",
)
@_flag("agents-address", "HOST:PORT", Checked("address", address), "with --agents: where agents dial in")
@_flag("agents-directory", "DIR", Checked("directory", absolute), "with --agents: the storage volume on each node")
@_flag("agents-service-account", "NAME", Checked("name", kubernetes_name), "with --agents: what their Pods run as")
@_flag("node-name", "NAME", click.STRING, "the node that a host path is on; without it every node has the same one")
@_flag("cluster", "NAME", click.STRING, "the cluster's name, for manifests of archives")
@_flag(
    "operator-namespace",
    "NAME",
    click.STRING,
    "the operator's own namespace, where a ConfigMap remembers the ids of both volumes; without it, empty mount points "
    "in a cluster without storages are new volumes",
)
@setting(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    callback=_split,
    written="all",
    envvar=variable("namespace"),
    help="a namespace to watch; repeat the flag, or separate names by blanks or commas",
)
@_flag("workers", "N", number(1, int), "threads for work on the storage volume")
@_flag("archive-workers", "N", number(1, int), "archives written at the same time")
@_flag("sweep-interval", "SECONDS", number(1, float), "seconds between two looks at usage and drift")
@_flag(
    "scrub-interval",
    "SECONDS",
    number(0, float),
    "seconds between two readings of all archives, to find rotten bits; 0 for never",
)
@_flag("scrub-rate", "BYTES", number(1, int), "most bytes of archived content that this reads a second")
@_flag(
    "health-address",
    "HOST:PORT",
    Checked("address", address),
    "where /livez, /readyz and /metrics answer",
)
@_flag("log-format", "FORMAT", Choice(LogFormat), "plain or json")
def run(**values: Any) -> int:
    """Run the operator until SIGTERM.

    Every flag is an environment variable too: --storage-root is METRICS_STORAGE_STORAGE_ROOT, and so on; the flag wins.
    """
    settings = Settings(**values)
    try:
        # The one command that needs kopf and the Kubernetes client, which may not be installed elsewhere.
        from metrics_storage.controller.kopf_adapter import startup  # noqa: PLC0415

        if settings.agents:
            import metrics_storage.controller.fleet.startup  # noqa: F401, PLC0415
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MetricsStorageError(
            f"run needs {exc.name}, which is not installed: pip install "
            f"'metrics-storage-operator[operator{',agents' if settings.agents else ''}]'"
        ) from exc

    startup.configure_logging(settings.log_format)
    try:
        with contextlib.suppress(asyncio.CancelledError):  # Asked to end before it had begun.
            asyncio.run(startup.run(settings))
    except OSError:
        # Nobody foresaw it: the log has to tell where it came from.
        logging.getLogger(__name__).exception("the operator ends")
        return 1
    return 0
