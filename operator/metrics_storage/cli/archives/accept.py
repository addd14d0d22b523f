"""`archives accept`: a person says that what cannot be read of a source is lost, and its archive counts without it."""

from pathlib import Path

import click

from metrics_storage.cli import options, values
from metrics_storage.cli.archives.references import opened_store
from metrics_storage.cli.command import Command
from metrics_storage.cli.output import note, say
from metrics_storage.cli.text import shown, shown_path
from metrics_storage.engine.lifecycle.losses import UnreadableContent
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Uid


@click.command(
    "accept",
    cls=Command,
    short_help="Accept that what cannot be read is lost.",
    examples=(
        "metrics-storage archives accept 0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11",
        "metrics-storage archives accept 0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11 --yes",
    ),
)
@click.argument(
    "uid", metavar="UID", type=values.Checked("uid", values.uid), help="metadata.uid of the MetricsStorage."
)
@options.storage_root
@options.quarantine_root
@click.option("--yes", is_flag=True, help="Accept; without it, only show what would be lost.")
def accept(uid: Uid, storage_root: Path, quarantine_root: Path, yes: bool) -> None:
    """Accept that what cannot be read of a quarantined directory is lost.

    Without this, such a directory is kept and archived again and again. With it, the next archive counts if it lacks
    exactly what is shown here and nothing changes meanwhile; the directory is removed after that. The manifest of
    that archive names what is missing. Nothing is removed by this command.
    """
    with Volume(storage_root, Role.STORAGE, initialise=False) as storage, opened_store(quarantine_root) as store:
        found = UnreadableContent(storage, store, uid)
        say(f"What {found.archive} lacks, because it cannot be read:")
        losses = found.read(lambda entry: say(f"  {shown_path(entry.path)}  [{shown(entry.problem)}]"))
        if not losses.complete:
            note(
                f"Beside that, {found.archive} was changed while it was written (metrics-storage archives show "
                f"{found.archive}). That is not accepted with it: the next archive counts only if nothing changes "
                "meanwhile."
            )
        if not yes:
            note(f"Nothing was accepted. To lose {losses.count} of these for good, say the same with --yes.")
            return
        found.declare_lost(losses)
    say(f"accepted: the next archive of {found.identity} counts if it lacks exactly this")
