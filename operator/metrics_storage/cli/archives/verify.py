"""`archives verify`: reads everything, and believes nothing before that."""

import json
import sys
from pathlib import Path

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.references import ARCHIVE_HELP, Filter, find, ids, label, opened_archives, total
from metrics_storage.cli.command import Command
from metrics_storage.cli.options import Output, setting
from metrics_storage.cli.output import flush, is_terminal, note, say
from metrics_storage.cli.progress import ProgressBar
from metrics_storage.cli.text import count, shown, size
from metrics_storage.cli.values import Checked, digest
from metrics_storage.engine.archives.format.verify import VerifiedArchive
from metrics_storage.engine.archives.store import Archives, Stored
from metrics_storage.errors import ArchiveCorruptError, SettingsError


@click.command(
    "verify",
    cls=Command,
    exit_codes={0: "all are sound", 1: "one is corrupt, incomplete or unreadable", 2: "wrong usage or setting"},
    examples=(
        "metrics-storage archives verify --all --output json",
        "metrics-storage archives verify runners/runner-0 \\\n"
        '    --sha256 "$(kubectl get mstor runner-0 -n runners \\\n'
        "        -o jsonpath='{.status.quarantine.sha256}')\"",
    ),
)
@click.argument("archives", metavar="[ARCHIVE]...", nargs=-1, help=ARCHIVE_HELP)
@options.quarantine_root_or_copy
@click.option("--all", "every", is_flag=True, help="All archives, or all that --namespace and --name leave.")
@setting(
    "--sha256", metavar="DIGEST", type=Checked("digest", digest), help="The digest that the one archive must have."
)
@options.filters
@options.output
@click.option("-q", "--quiet", is_flag=True, help="Print nothing of what is sound, and no progress.")
def verify(
    *,
    archives: tuple[str, ...],
    quarantine_root: Path | None,
    every: bool,
    sha256: str | None,
    namespace: str | None,
    name: str | None,
    output: Output,
    quiet: bool,
) -> int:
    """Read archives and say whether they are sound.

    Every byte of archive and manifest is read, from the disk and not from memory, and compared: members, digests, the
    end.
    """
    if bool(archives) is every:
        raise SettingsError("name archives to verify, or give --all")
    if sha256 and len(archives) != 1:
        raise SettingsError("--sha256 is the digest of one archive: name exactly one ARCHIVE")
    with opened_archives(quarantine_root, *archives) as store:
        found = Filter(namespace, name).of(store.archives())
        if every and not found:
            note(f"no archives{' of that namespace or name' if namespace or name else ''} on {store.path}")
            return 1 if namespace or name else 0
        chosen = found if every else [find(store, found, text) for text in archives]
        short = is_terminal(sys.stdout)
        names = ids(found, short=short)
        bad = 0
        for stored in chosen:
            title = label(stored, names, short=short)
            bad += not _verify_one(store, stored, title, sha256, output=output, quiet=quiet, brief=every)
    if bad or not quiet:
        note(f"{count(len(chosen) - bad, 'archive')} sound, {bad} not")
    return 1 if bad else 0


def _verify_one(
    store: Archives, stored: Stored, name: str, sha256: str | None, *, output: Output, quiet: bool, brief: bool
) -> bool:
    problem, verified = "", None
    try:
        with ProgressBar(f"verifying {stored.path}", total(store, stored), quiet=quiet) as progress:
            verified = store.verify(stored, progress=progress)
    except ArchiveCorruptError as exc:
        problem = str(exc)
    except OSError as exc:
        problem = f"cannot be read: {exc.strerror}"
    word = "CORRUPT"
    if verified is not None and sha256 not in (None, verified.archive_sha256):
        problem = (
            f"sound, but its sha256 is {verified.archive_sha256}, not the one given: another archive is in its place"
        )
        word = "REPLACED"
    if output is Output.JSON:
        say(json.dumps({"archive": stored.path, "sound": not problem, "problem": problem or None, **_facts(verified)}))
    elif problem or verified is None:
        say(f"{word:8} {name}: {shown(problem)}")
    elif not quiet:
        unclean = "" if verified.clean else ", not clean"
        say(f"ok       {name}: {count(verified.files, 'file')}, {size(verified.payload_bytes)}{unclean}")
        if not brief:
            say(f"         sha256 {verified.archive_sha256}")
    flush()
    return not problem


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
