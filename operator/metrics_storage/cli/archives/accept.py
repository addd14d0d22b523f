"""`archives accept`: a person says that what cannot be read of a source is lost, and its archive counts without it."""

from pathlib import Path

import click

from metrics_storage.cli import options, values
from metrics_storage.cli.archives.references import find, opened_store
from metrics_storage.cli.command import Command
from metrics_storage.cli.output import note, say
from metrics_storage.cli.tables import shown, shown_path
from metrics_storage.engine.archives.format.losses import Losses
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.lifecycle.directories import Directories
from metrics_storage.engine.volume.journal import Journal
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import JournalError, SettingsError


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
def accept(uid: str, storage_root: Path, quarantine_root: Path, yes: bool) -> None:
    """Accept that what cannot be read of a quarantined directory is lost.

    Without this, such a directory is kept and archived again and again. With it, the next archive counts if it lacks
    exactly what is shown here and nothing changes meanwhile; the directory is removed after that. The manifest of
    that archive names what is missing. Nothing is removed by this command.
    """
    with Volume(storage_root, Role.STORAGE, initialise=False) as storage, opened_store(quarantine_root) as vault:
        record = Journal(storage).read(uid)
        if record is None or not record.must_be_archived or record.quarantine is None:
            raise JournalError(f"{uid} has no quarantine that waits for an archive on {storage_root}")
        if record.quarantine.provisional is None:
            raise JournalError(f"{record.identity} has no incomplete archive yet that could be looked at: wait for one")
        losses = Losses()
        path = record.quarantine.provisional.path
        say(f"What {path} lacks, because it cannot be read:")
        with vault.reading_manifest(find(vault, vault.archives(), path)) as manifest_fd:
            for entry in ManifestReader(manifest_fd):
                losses.add(entry)
                if entry.status == "unreadable":
                    say(f"  {shown_path(entry.path)}  [{shown(entry.problem)}]")
        if losses.sha256 is None:
            raise SettingsError(
                f"nothing: {path} is incomplete for other reasons, see metrics-storage archives show {path}"
            )
        if losses.open_ended:
            raise SettingsError(
                "a directory cannot be listed to its end, so nobody can say what would be lost: see to the storage "
                f"volume, or keep what can be copied by hand; everything of {record.identity} is kept until then"
            )
        if not losses.complete:
            note(
                f"Beside that, {path} was changed while it was written (metrics-storage archives show {path}). That is "
                "not accepted with it: the next archive counts only if nothing changes meanwhile."
            )
        if not yes:
            note(f"Nothing was accepted. To lose {losses.count} of these for good, say the same with --yes.")
            return
        Directories(storage).accept_losses(uid, losses.sha256)
    say(f"accepted: the next archive of {record.identity} counts if it lacks exactly this")
