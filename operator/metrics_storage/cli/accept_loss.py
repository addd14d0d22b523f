"""`accept-loss`: a person says that a vanished directory is lost."""

from pathlib import Path

import click

from metrics_storage.cli import options, values
from metrics_storage.cli.command import Command
from metrics_storage.cli.output import say
from metrics_storage.engine.lifecycle.losses import declare_vanished
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Uid


@click.command(
    "accept-loss",
    cls=Command,
    short_help="Accept that a vanished directory is lost.",
    examples=("metrics-storage accept-loss 0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11",),
)
@click.argument(
    "uid", metavar="UID", type=values.Checked("uid", values.uid), help="metadata.uid of the MetricsStorage."
)
@options.storage_root
def accept_loss(uid: Uid, storage_root: Path) -> None:
    """Accept that a vanished directory is lost.

    Its MetricsStorage, held back with Stalled=True and reason DirectoryVanished, can then be deleted. Nothing is
    removed by this command.
    """
    with Volume(storage_root, Role.STORAGE, initialise=False) as volume:
        declare_vanished(volume, uid)
    say(f"the loss of {uid} is accepted: its deletion goes on at the operator's next attempt")
