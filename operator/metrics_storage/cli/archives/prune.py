"""`archives prune`: the one way in which an archive is ever removed, by a person who was shown which."""

import getpass
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

from metrics_storage.cli import options
from metrics_storage.cli.archives.described import describe_all, print_table
from metrics_storage.cli.archives.references import Filter, ids, label, opened_store
from metrics_storage.cli.command import Command, variable
from metrics_storage.cli.options import setting
from metrics_storage.cli.output import flush, is_terminal, note, say
from metrics_storage.cli.text import count, shown, size
from metrics_storage.cli.values import Checked, Directory, number, seconds
from metrics_storage.engine.archives.store import Description, Stored
from metrics_storage.engine.lifecycle.prune import Pruning, Selection, select
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import SettingsError


@click.command(
    "prune",
    cls=Command,
    short_help="Remove archives for good, after asking.",
    epilog="""
Conditions add up: --older-than 30d --keep-last 3 removes what is older than 30 days and not among the last three of its
namespace and name.

What is needed is kept in any case. With --storage-root, that is until the journal there says that the source is gone.
Without, everything younger than 24 h is kept, and what is not clean, unless a clean archive of the same uid followed.

What is removed is noted in .metrics-storage/pruned.jsonl on the volume. The manifest goes first: what an interrupted
removal leaves is listed as `no manifest`, and --incomplete removes it.
""",
    examples=(
        "metrics-storage archives prune --older-than 30d \\\n    --storage-root /srv/metrics --dry-run",
        "metrics-storage archives prune --keep-last 3 --namespace runners",
        "metrics-storage archives prune --unclean-superseded --older-than 2d --yes",
    ),
)
@options.quarantine_root
@setting("--older-than", metavar="AGE", type=Checked("age", seconds), help="Only what is older: 12h, 30d, 8w.")
@setting("--keep-last", metavar="N", type=number(0, int), help="Not the last N of each namespace and name.")
@click.option(
    "--unclean-superseded",
    "superseded",
    is_flag=True,
    help="Only archives not clean that a clean one of the uid follows.",
)
@click.option("--incomplete", is_flag=True, help="Only what has lost its archive or manifest.")
@setting(
    "--storage-root",
    metavar="DIR",
    type=Directory(),
    envvar=variable("--storage-root"),
    show_envvar=True,
    help="The storage volume whose journal is asked.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@options.filters
def prune(
    *,
    quarantine_root: Path,
    older_than: float | None,
    keep_last: int | None,
    superseded: bool,
    incomplete: bool,
    storage_root: Path | None,
    dry_run: bool,
    yes: bool,
    namespace: str | None,
    name: str | None,
) -> int:
    """Remove archives for good, after asking: those that are selected and not needed any more."""
    selection = Selection(older_than=older_than, keep_last=keep_last, superseded=superseded, incomplete=incomplete)
    _require_selection(selection)
    if not (yes or dry_run or is_terminal(sys.stdin)):
        raise SettingsError("nobody can be asked without a terminal: give --yes, or --dry-run")
    with ExitStack() as stack:
        store = stack.enter_context(opened_store(quarantine_root, writable=True))
        storage = None
        if storage_root is not None:
            storage = stack.enter_context(Volume(storage_root, Role.STORAGE, initialise=False))
        now = time.time()
        # What follows an archive decides about it: all are looked at, whatever the filters say.
        everything = list(describe_all(store, store.archives()))
        wanted = set(Filter(namespace, name).of([one.stored for one in everything]))
        pruning = Pruning(store, storage, everything)
        chosen = [one for one in select(everything, selection, now) if one.stored in wanted]
        kept = {one.stored: reason for one in chosen if (reason := pruning.reason(one, now))}
        free = [one for one in chosen if one.stored not in kept]
        _print_kept(kept, [one.stored for one in everything])
        print_table(free, [one.stored for one in everything])
        if not free:
            note("nothing to remove")
            return 0
        if dry_run:
            say(f"would remove {_amount(free)}")
            return 0
        if not yes and not _confirmed(free):
            note("nothing was removed")
            return 1
        return _remove(pruning, free)


def _require_selection(selection: Selection) -> None:
    if selection == Selection():
        raise SettingsError(
            "say which archives to prune: --older-than, --keep-last, --unclean-superseded or --incomplete"
        )
    if selection.incomplete and (selection.superseded or selection.keep_last is not None):
        raise SettingsError("--incomplete goes with --older-than only")


def _amount(chosen: list[Description]) -> str:
    return f"{count(len(chosen), 'archive')}, {size(sum(one.size or 0 for one in chosen))}"


def _confirmed(chosen: list[Description]) -> bool:
    say(f"Remove {_amount(chosen)}, for good? [y/N] ", end="")
    flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_kept(kept: dict[Stored, str], known: list[Stored]) -> None:
    """Say what is kept, under each reason once."""
    short = is_terminal(sys.stderr)
    names = ids(known, short=short)
    for reason in dict.fromkeys(kept.values()):
        note(f"kept, {shown(reason)}:")
        for stored in (stored for stored, why in kept.items() if why == reason):
            note(f"  {label(stored, names, short=short)}")


def _remove(pruning: Pruning, chosen: list[Description]) -> int:
    """Remove one after the other, each only if nothing needs it by now."""
    late = 0
    removed_by = os.environ.get("SUDO_USER") or getpass.getuser()
    for one in chosen:
        if reason := pruning.remove(one, removed_by):
            note(f"kept: {one.stored.path}: {shown(reason)}")
            late += 1
        else:
            say(f"removed {one.stored.path}")
    return 1 if late else 0
