"""`accept-loss`: a person says that a directory is lost, or a whole storage volume of a node."""

from pathlib import Path

import click

from metrics_storage.cli import options, values
from metrics_storage.cli.command import Command
from metrics_storage.cli.options import setting
from metrics_storage.cli.output import say
from metrics_storage.engine.lifecycle.losses import declare_vanished
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import SettingsError
from metrics_storage.model.identity import Uid


@click.command(
    "accept-loss",
    cls=Command,
    short_help="Accept that a directory, or a node's storage volume, is lost.",
    examples=(
        "metrics-storage accept-loss 0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11",
        "metrics-storage accept-loss --yes \\\n    --volume 7e1a5a0c-0f4e-4a53-8d3a-2b7f6a1c9e24",
    ),
)
@click.argument(
    "uid",
    metavar="[UID]",
    required=False,
    type=values.Checked("uid", values.uid),
    help="metadata.uid of the MetricsStorage.",
)
@setting(
    "--volume",
    metavar="ID",
    type=values.Checked("id", values.volume_id),
    help="With agents: all that is on this storage volume, status.storageVolumeID.",
)
@click.option("--yes", is_flag=True, help="Do it; without this, --volume only says what would be lost.")
@options.storage_root_if_any
@options.quarantine_root_if_any
def accept_loss(
    uid: Uid | None, volume: Uid | None, storage_root: Path | None, quarantine_root: Path | None, *, yes: bool
) -> None:
    """Accept that a directory, or a node's storage volume, is lost.

    A MetricsStorage that is held back with Stalled=True can then be deleted. With reason DirectoryVanished: run this
    where the storage volume is. With reason NodeLost: run it in the controller's Pod, where the quarantine volume is.
    Nothing is removed by this command, and what is there after all when a node comes back is kept.
    """
    if (uid is None) == (volume is None):
        raise SettingsError("either a UID or --volume ID is needed")
    if uid is not None and storage_root is not None:
        with Volume(storage_root, Role.STORAGE, initialise=False) as storage:
            declare_vanished(storage, uid)
        say(f"the loss of {uid} is accepted: its deletion goes on at the operator's next attempt")
        return
    if quarantine_root is None:
        raise SettingsError("--storage-root is needed, or with agents --quarantine-root")
    with Volume(quarantine_root, Role.QUARANTINE, initialise=False) as quarantine:
        if volume is not None:
            _give_up(quarantine, volume, yes=yes)
        elif uid is not None:
            Releases(quarantine).add(uid)
            say(f"the loss of {uid} is accepted: its deletion goes on once its status says NodeLost")


def _give_up(quarantine: Volume, volume_id: Uid, *, yes: bool) -> None:
    binding = Bindings(quarantine).of_volume(volume_id)
    if binding is None:
        raise SettingsError(f"no agent was ever seen with storage volume {volume_id}: see status.storageVolumeID")
    what = f"all that is on storage volume {volume_id} of node {binding.node}, also what was to be archived"
    if not yes:
        say(f"lost would be {what}; accept that with --yes")
        return
    Releases(quarantine).add(volume_id)
    say(f"lost is {what}: deletions go on once their status says NodeLost")
