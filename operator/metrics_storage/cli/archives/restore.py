"""`archives restore`: verifies an archive, then restores it into a new directory with every danger refused."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.references import archive_argument, find, opened_archives, total
from metrics_storage.cli.command import Command
from metrics_storage.cli.output import note, say
from metrics_storage.cli.progress import Progress
from metrics_storage.cli.tables import count, kinds, size
from metrics_storage.cli.values import Directory
from metrics_storage.engine.archives.format.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.archives.restore.policy import RestoreOptions, Survey, survey
from metrics_storage.engine.archives.restore.restore import Restored, restore_archive
from metrics_storage.engine.archives.store import Archives, ArchiveStore, require_named_after
from metrics_storage.errors import ArchiveError, SettingsError

_REFUSED_SHOWN: Final = 20
_RESERVE: Final = 4096
"""Bytes that an entry may cost beside its content."""


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
    with opened_archives(quarantine_root, archive) as vault:
        stored = find(vault, vault.archives(), archive)
        _require_free(vault, directory)
        with vault.reading(stored) as (archive_fd, manifest_fd):
            with Progress(f"verifying {stored.path}", total(vault, stored), quiet=quiet) as progress:
                verified = verify_archive(archive_fd, manifest_fd, progress=progress)
            require_named_after(stored, verified.header)
            found = survey(manifest_fd, choices)
            _print_refusals(found, skip_refused)
            if found.refused.count and not skip_refused:
                raise ArchiveError(
                    f"{stored.path}: {count(found.refused.count, 'entry', 'entries')} refused, nothing was restored; "
                    "--skip-refused restores everything else"
                )
            place = f"{directory}/{verified.header.name}"
            if dry_run:
                _print_plan(f"would restore {stored.path} into {place}", found)
                return 3 if found.refused.count else 0
            with _target(directory) as target_fd:
                _require_room(target_fd, verified, found)
                with Progress(f"restoring {stored.path}", found.bytes, quiet=quiet) as progress:
                    try:
                        result = restore_archive(
                            archive_fd, manifest_fd, target_fd, verified, choices, progress=progress
                        )
                    except KeyboardInterrupt:
                        note(f"metrics-storage: interrupted, {_incomplete(directory)}")
                        raise
                    except ArchiveError as exc:
                        raise ArchiveError(f"{exc}; {_incomplete(directory)}") from exc
        _print_plan(f"restored {stored.path} into {place}", found)
        _print_surprises(result, found)
    return 3 if result.refused.count else 0


def _incomplete(directory: Path) -> str:
    """What to do after a restore that ended before its time."""
    return (
        f"{directory} is incomplete: remove it (rm -r {shlex.quote(str(directory))}) and restore again, or elsewhere; "
        "the archive is as it was"
    )


def _require_free(vault: Archives, directory: Path) -> None:
    """See that the target is new or empty, and not on the quarantine volume, before anything long begins."""
    if isinstance(vault, ArchiveStore) and os.path.commonpath(
        [os.path.realpath(directory), os.path.realpath(vault.path)]
    ) == os.path.realpath(vault.path):
        raise SettingsError(f"{directory} is on the quarantine volume: restore to somewhere else")
    if not os.path.lexists(directory):
        parent = os.path.dirname(os.path.abspath(directory))
        if not os.path.isdir(parent):
            raise SettingsError(f"{parent} does not exist: make it, or choose another place")
        return
    if os.path.islink(directory) or not os.path.isdir(directory) or os.listdir(directory):
        raise SettingsError(f"{directory} exists and is not an empty directory: nothing is ever restored over it")


@contextmanager
def _target(directory: Path) -> Iterator[int]:
    """Descriptor of the target, made (0700) unless it is there, and seen again to be empty."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise ArchiveError(f"{directory} cannot be made: {exc.strerror}") from exc
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.listdir(fd):
            raise SettingsError(f"{directory} is not empty: nothing is ever restored over it")
        yield fd
    finally:
        os.close(fd)


def _require_room(target_fd: int, verified: VerifiedArchive, found: Survey) -> None:
    volume = os.fstatvfs(target_fd)
    free = volume.f_bavail * volume.f_frsize
    need = found.bytes + verified.entries * _RESERVE
    if free < need:
        raise ArchiveError(f"{os.strerror(errno.ENOSPC)}: {size(need)} are needed, {size(free)} are free")


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
