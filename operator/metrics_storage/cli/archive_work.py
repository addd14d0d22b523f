"""`archives verify` and `archives restore`: both read everything, and believe nothing before that."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from metrics_storage.cli.progress import Progress
from metrics_storage.cli.tables import count, kinds, shown, size
from metrics_storage.cli.vaults import filtered, find, ids, label, opened_vault
from metrics_storage.engine.archive.policy import RestoreOptions, Survey, survey
from metrics_storage.engine.archive.restore import Restored, restore_archive
from metrics_storage.engine.archive.verify import VerifiedArchive, verify_archive
from metrics_storage.engine.vault import Stored, Vault, require_named_after
from metrics_storage.errors import ArchiveCorruptError, ArchiveError, SettingsError

_REFUSED_SHOWN: Final = 20
_RESERVE: Final = 4096
"""Bytes that an entry may cost beside its content."""

_HEX: Final = frozenset("0123456789abcdef")


def verify(arguments: argparse.Namespace) -> int:
    """Read archives and say which are sound; 1 if any is not."""
    if bool(arguments.archives) is arguments.all:
        raise SettingsError("name archives to verify, or give --all")
    digest = arguments.sha256 and arguments.sha256.lower().removeprefix("sha256:")
    if digest and (len(digest) != 64 or set(digest) - _HEX or len(arguments.archives) != 1):
        raise SettingsError("--sha256 is the digest of one archive: 64 hexadecimal digits, and exactly one ARCHIVE")
    with opened_vault(arguments) as vault:
        found = filtered(vault.archives(), arguments)
        chosen = found if arguments.all else [find(vault, found, text) for text in arguments.archives]
        short = sys.stdout.isatty()
        names = ids(found, short=short)
        bad = 0
        for stored in chosen:
            bad += not _verify_one(vault, stored, label(stored, names, short=short), digest, arguments)
    print(f"{count(len(chosen) - bad, 'archive')} sound, {bad} not", file=sys.stderr)
    return 1 if bad else 0


def restore(arguments: argparse.Namespace) -> int:
    """Verify one archive and restore it; 1 if something is refused, 3 if that was left out as asked."""
    options = RestoreOptions(
        keep_special_modes=arguments.keep_special_modes,
        same_owner=arguments.same_owner,
        all_xattrs=arguments.all_xattrs,
        skip_refused=arguments.skip_refused,
    )
    with opened_vault(arguments) as vault:
        stored = find(vault, vault.archives(), arguments.archive)
        _require_free(vault, arguments.directory)
        with vault.reading(stored) as (archive_fd, manifest_fd):
            total = _total(vault, stored)
            with Progress(f"verifying {stored.path}", total, quiet=arguments.quiet) as progress:
                verified = verify_archive(archive_fd, manifest_fd, progress=progress)
            require_named_after(stored, verified.header)
            found = survey(manifest_fd, options)
            _print_refusals(found, arguments.skip_refused)
            if found.refused.count and not options.skip_refused:
                raise ArchiveError(
                    f"{stored.path}: {count(found.refused.count, 'entry', 'entries')} refused, nothing was restored; "
                    "--skip-refused restores everything else"
                )
            place = f"{arguments.directory}/{verified.header.name}"
            if arguments.dry_run:
                _print_plan(f"would restore {stored.path} into {place}", found)
                return 3 if found.refused.count else 0
            with _target(arguments.directory) as target_fd:
                _require_room(target_fd, verified, found)
                with Progress(f"restoring {stored.path}", found.bytes, quiet=arguments.quiet) as progress:
                    try:
                        result = restore_archive(
                            archive_fd, manifest_fd, target_fd, verified, options, progress=progress
                        )
                    except KeyboardInterrupt:
                        print(f"metrics-storage: interrupted, {arguments.directory} is incomplete", file=sys.stderr)
                        raise
                    except ArchiveError as exc:
                        raise ArchiveError(f"{exc}; {arguments.directory} is incomplete") from exc
        _print_plan(f"restored {stored.path} into {place}", found)
        _print_surprises(result, found)
    return 3 if result.refused.count else 0


def _verify_one(vault: Vault, stored: Stored, name: str, digest: str | None, arguments: argparse.Namespace) -> bool:
    problem, verified = "", None
    try:
        with Progress(f"verifying {stored.path}", _total(vault, stored), quiet=arguments.quiet) as progress:
            verified = vault.verify(stored, sha256=digest, progress=progress)
    except ArchiveCorruptError as exc:
        problem = str(exc)
    except OSError as exc:
        problem = f"cannot be read: {exc.strerror}"
    if arguments.output == "json":
        print(
            json.dumps({"archive": stored.path, "sound": not problem, "problem": problem or None, **_facts(verified)})
        )
    elif verified is not None:
        unclean = "" if verified.clean else ", not clean"
        print(f"ok       {name}: {count(verified.files, 'file')}, {size(verified.payload_bytes)}{unclean}")
        if not arguments.all:
            print(f"         sha256 {verified.archive_sha256}")
    else:
        print(f"CORRUPT  {name}: {shown(problem)}")
    sys.stdout.flush()
    return verified is not None


def _facts(verified: VerifiedArchive | None) -> dict[str, object]:
    if verified is None:
        return {}
    return {
        "clean": verified.clean,
        "entries": verified.entries,
        "files": verified.files,
        "payload_bytes": verified.payload_bytes,
        "bytes": verified.archive_bytes,
        "sha256": verified.archive_sha256,
        "manifest_sha256": verified.manifest_sha256,
    }


def _total(vault: Vault, stored: Stored) -> int:
    """Bytes of content that verifying will read, by the manifest's word."""
    try:
        trailer = vault.describe(stored).trailer
    except OSError:
        return 0
    return trailer.payload_bytes if trailer else 0


def _require_free(vault: Vault, directory: str) -> None:
    """See that the target is new or empty, and not on the quarantine volume, before anything long begins."""
    if os.path.commonpath([os.path.realpath(directory), os.path.realpath(vault.volume.path)]) == os.path.realpath(
        vault.volume.path
    ):
        raise SettingsError(f"{directory} is on the quarantine volume: restore to somewhere else")
    if not os.path.lexists(directory):
        parent = os.path.dirname(os.path.abspath(directory))
        if not os.path.isdir(parent):
            raise SettingsError(f"{parent} does not exist: make it, or choose another place")
        return
    if os.path.islink(directory) or not os.path.isdir(directory) or os.listdir(directory):
        raise SettingsError(f"{directory} exists and is not an empty directory: nothing is ever restored over it")


@contextmanager
def _target(directory: str) -> Iterator[int]:
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
        print(f"{'left out' if skip else 'refused'}: {text}", file=sys.stderr)
    if found.refused.count > _REFUSED_SHOWN:
        print(f"and {found.refused.count - _REFUSED_SHOWN:,} more", file=sys.stderr)


def _print_plan(beginning: str, found: Survey) -> None:
    print(f"{beginning}: {kinds(found.by_type)}; {size(found.bytes)}")
    for number, one, several, text in (
        (found.stripped, "entry", "entries", "without setuid or setgid (--keep-special-modes keeps them)"),
        (found.xattrs, "extended attribute", "", "outside user.* left out (--all-xattrs restores them)"),
        (found.changed, "entry", "entries", "changed or unreadable when archived: see `archives show`"),
    ):
        if number:
            print(f"  {count(number, one, several)} {text}")
    if found.recorded:
        print(f"  recorded in the manifest only: {kinds(found.recorded)}")


def _print_surprises(result: Restored, found: Survey) -> None:
    """What only the target's file system could tell."""
    for text in result.refused.named[:_REFUSED_SHOWN]:
        if text not in found.refused.named:
            print(f"left out: {text}", file=sys.stderr)
    if result.lost_xattrs:
        print(f"  {count(result.lost_xattrs, 'extended attribute')} not taken by the file system")
