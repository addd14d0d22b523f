"""`init-volume`: a person says that an empty directory is a new volume."""

from pathlib import Path

import click

from metrics_storage.cli.command import Command
from metrics_storage.cli.output import say
from metrics_storage.cli.values import Choice, Directory
from metrics_storage.engine.volume.volume import Role, Volume


@click.command(
    "init-volume",
    cls=Command,
    short_help="Mark an empty directory as a new volume.",
    examples=("metrics-storage init-volume quarantine /mnt/new-evidence",),
)
@click.argument("role", metavar="storage|quarantine", type=Choice(Role), help="What it is for.")
@click.argument("directory", metavar="DIR", type=Directory(), help="The mounted, empty directory.")
@click.option("--beside-content", is_flag=True, help="Mark it though it holds other things, which are left alone.")
def init_volume(role: Role, directory: Path, beside_content: bool) -> None:
    """Mark an empty directory as a new storage or quarantine volume.

    The operator does this by itself in a cluster that knows of no older volume;
    later it takes an empty one for one that is not mounted, and a person decides.
    """
    with Volume(directory, role, initialise=True, beside_content=beside_content) as volume:
        say(f"{directory} is {role} volume {volume.id}")
