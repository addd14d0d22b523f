"""`adopt-volume`: a person says that a copied or restored storage volume is the right one."""

from collections import Counter
from pathlib import Path

import click

from metrics_storage.cli.command import Command
from metrics_storage.cli.output import note, say
from metrics_storage.cli.values import Directory
from metrics_storage.engine.lifecycle.adoption import ADOPTED, Verdict, adopt, survey
from metrics_storage.engine.volume.volume import Role, Volume


@click.command(
    "adopt-volume",
    cls=Command,
    short_help="Accept a storage volume that was copied or restored.",
    examples=(
        "metrics-storage adopt-volume /mnt/larger-disk",
        "metrics-storage adopt-volume /mnt/larger-disk --yes",
    ),
)
@click.argument("directory", metavar="DIR", type=Directory(), help="Where the storage volume is mounted.")
@click.option("--yes", is_flag=True, help="Adopt; without it, only say what would be.")
def adopt_volume(directory: Path, yes: bool) -> None:
    """Accept a storage volume that was copied or restored.

    A copy gives every directory another inode number, and the operator takes none for the one that it provisioned
    until a person has said that the volume is the right one. Stop the operator first. No directory is changed;
    the journal takes over the numbers. A directory that carries another's mark is left as it is.
    """
    counts: Counter[Verdict] = Counter()
    with Volume(directory, Role.STORAGE, initialise=False) as volume:
        volume.lock()
        volume.check()
        for candidate in survey(volume):
            counts[candidate.verdict] += 1
            if candidate.verdict is not Verdict.UNCHANGED:
                say(f"{candidate.verdict}: {candidate.detail}")
            if yes and candidate.verdict in ADOPTED:
                adopt(volume, candidate)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]) or "no entries"
        say(f"{directory} is storage volume {volume.id}: {summary}")
    adoptable = sum(counts[verdict] for verdict in ADOPTED)
    if adoptable and not yes:
        note(f"Nothing was changed. If this is the right volume, and no other copy of it is in use, adopt {adoptable} "
             f"with: metrics-storage adopt-volume {directory} --yes")  # fmt: skip
