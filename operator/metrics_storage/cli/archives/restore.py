"""`archives restore`: verifies an archive, then restores it into a new directory with every danger refused."""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.references import archive_argument, find, opened_archives, total
from metrics_storage.cli.command import Command
from metrics_storage.cli.output import note, say
from metrics_storage.cli.progress import ProgressBar
from metrics_storage.cli.text import count, kinds, size
from metrics_storage.cli.values import Directory
from metrics_storage.engine.archives.restore.policy import RestoreOptions, Survey
from metrics_storage.engine.archives.restore.restoration import Restoration, require_free
from metrics_storage.engine.archives.restore.restore import Restored
from metrics_storage.errors import ArchiveError

_REFUSED_SHOWN: Final = 20


@click.command(
    "restore",
    cls=Command,
    short_help="Verify an archive and restore it.",
    epilog="""
Refused are links that are absolute or lead out of the directory, and hard links to anything but restored files. If
anything is refused, it is named and nothing is restored; --skip-refused leaves it out and restores the rest. Device
nodes and sockets are in the manifest only. setuid and setgid are left out, files belong to whoever restores, and of
extended attributes only user.* are restored, unless flags say otherwise.
""",
    exit_codes={
        0: "restored",
        1: "failure, corrupt or refused",
        2: "wrong usage or setting",
        3: "restored without what is refused",
    },
    examples=(
        "metrics-storage archives restore runners/runner-0 /tmp/evidence --dry-run",
        "metrics-storage archives restore 0b0c7f5e_2 /tmp/evidence --skip-refused",
    ),
)
@archive_argument
@click.argument("directory", metavar="DIRECTORY", type=Directory(), help="A new or empty directory.")
@options.quarantine_root_or_copy
@click.option("--dry-run", is_flag=True, help="Verify and say what would be done.")
@click.option("--skip-refused", is_flag=True, help="Leave out what is refused, and go on.")
@click.option("--keep-special-modes", is_flag=True, help="Restore setuid and setgid.")
@click.option("--same-owner", is_flag=True, help="Restore owners and groups; needs root.")
@click.option("--all-xattrs", is_flag=True, help="Restore all extended attributes, capabilities too.")
@options.quiet
def restore(
    *,
    archive: str,
    directory: Path,
    quarantine_root: Path | None,
    dry_run: bool,
    skip_refused: bool,
    keep_special_modes: bool,
    same_owner: bool,
    all_xattrs: bool,
    quiet: bool,
) -> int:
    """Verify an archive and restore it into a new directory.

    The archive is verified first. The content comes into DIRECTORY/<name of the runner>. Modes, times, holes in sparse
    files and FIFOs are restored.
    """
    choices = RestoreOptions(
        keep_special_modes=keep_special_modes,
        same_owner=same_owner,
        all_xattrs=all_xattrs,
        skip_refused=skip_refused,
    )
    with opened_archives(quarantine_root, archive) as archives, ExitStack() as stack:
        stored = find(archives, archives.archives(), archive)
        require_free(directory, archives)
        with ProgressBar(f"verifying {stored.path}", total(archives, stored), quiet=quiet) as progress:
            restoration = stack.enter_context(Restoration.verified(archives, stored, directory, choices, progress))
        found = restoration.survey
        _print_refusals(found, skip_refused)
        if found.refused.count and not skip_refused:
            raise ArchiveError(
                f"{stored.path}: {count(found.refused.count, 'entry', 'entries')} refused, nothing was restored; "
                "--skip-refused restores everything else"
            )
        place = f"{directory}/{restoration.archive.header.name}"
        if dry_run:
            _print_plan(f"would restore {stored.path} into {place}", found)
            return 3 if found.refused.count else 0
        with ProgressBar(f"restoring {stored.path}", found.bytes, quiet=quiet) as progress, _advising(directory):
            result = restoration.restore(progress)
        _print_plan(f"restored {stored.path} into {place}", found)
        _print_surprises(result, found)
    return 3 if result.refused.count else 0


@contextmanager
def _advising(directory: Path) -> Iterator[None]:
    """Say what to do after a restore that ended before its time."""
    advice = (
        f"{directory} is incomplete: remove it (rm -r {shlex.quote(str(directory))}) and restore again, or elsewhere; "
        "the archive is as it was"
    )
    try:
        yield
    except KeyboardInterrupt:
        note(f"metrics-storage: interrupted, {advice}")
        raise
    except ArchiveError as exc:
        raise ArchiveError(f"{exc}; {advice}") from exc


def _print_refusals(found: Survey, skip: bool) -> None:
    for text in found.refused.named[:_REFUSED_SHOWN]:
        note(f"{'left out' if skip else 'refused'}: {text}")
    if found.refused.count > _REFUSED_SHOWN:
        note(f"and {found.refused.count - _REFUSED_SHOWN:,} more")


def _print_plan(beginning: str, found: Survey) -> None:
    say(f"{beginning}: {kinds(found.by_type)}; {size(found.bytes)}")
    for number, one, several, text in (
        (found.stripped, "entry", "entries", "without setuid or setgid (--keep-special-modes keeps them)"),
        (found.xattrs, "extended attribute", "", "outside user.* left out (--all-xattrs restores them)"),
        (found.changed, "entry", "entries", "changed or unreadable when archived: see `archives show`"),
    ):
        if number:
            say(f"  {count(number, one, several)} {text}")
    if found.recorded:
        say(f"  recorded in the manifest only: {kinds(found.recorded)}")


def _print_surprises(result: Restored, found: Survey) -> None:
    """What only the target's file system could tell."""
    for text in result.refused.named[:_REFUSED_SHOWN]:
        if text not in found.refused.named:
            note(f"left out: {text}")
    if result.lost_xattrs:
        say(f"  {count(result.lost_xattrs, 'extended attribute')} not taken by the file system")
