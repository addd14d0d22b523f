"""`run`: the operator, until SIGTERM. Every flag is an environment variable too, and the flag wins."""

from collections.abc import Sequence
from typing import Any, Final

import click

from metrics_storage.cli.command import Command, variable
from metrics_storage.cli.options import setting
from metrics_storage.cli.process import flags_of, needing, run_until_asked
from metrics_storage.cli.values import Checked, Choice, absolute, address, kubernetes_name, number
from metrics_storage.controller.settings import Settings
from metrics_storage.logs import LogFormat

_EXTRA: Final = ("kopf", "aiohttp", "kubernetes", "urllib3", "grpc", "google", "cryptography")
"""Packages that only the operator needs."""

# A storage volume of its own is what the operator has where it has no agents.
_flag = flags_of(Settings, needed_unless="agents", needed=("storage_root", "volume_source"))


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
@_flag(
    "accept-loss-after",
    "SECONDS",
    number(0, float),
    "with --agents: seconds after which deletions do not wait any more for a node that is gone from the API server, "
    "where nothing was to be archived; 0 for never",
)
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
    with needing("run", _EXTRA, "operator,agents" if settings.agents else "operator"):
        # The one command that needs kopf and the Kubernetes client, which may not be installed elsewhere.
        from metrics_storage.controller.kopf_adapter import startup  # noqa: PLC0415

        if settings.agents:
            import metrics_storage.controller.fleet.startup  # noqa: F401, PLC0415

    startup.configure_logging(settings.log_format)
    return run_until_asked(startup.run(settings), "operator")
