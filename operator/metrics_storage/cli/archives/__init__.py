"""`archives`: commands on the archives of a quarantine volume, a module each."""

import click

from metrics_storage.cli.archives.accept import accept
from metrics_storage.cli.archives.list import list_archives
from metrics_storage.cli.archives.prune import prune
from metrics_storage.cli.archives.restore import restore
from metrics_storage.cli.archives.show import show
from metrics_storage.cli.archives.verify import verify
from metrics_storage.cli.command import Group


@click.group(
    "archives",
    cls=Group,
    short_help="Look at, verify, restore and prune archives.",
    examples=(
        "export METRICS_STORAGE_QUARANTINE_ROOT=/srv/quarantine",
        "metrics-storage archives list --namespace runners",
        "metrics-storage archives verify --all",
        "metrics-storage archives restore runners/runner-0 /tmp/evidence",
    ),
)
def archives() -> None:
    """Look at, verify, restore and prune archives.

    The volume may be mounted read-only for everything but prune.
    """


for _command in (list_archives, show, verify, restore, accept, prune):
    archives.add_command(_command)
