"""`archives prune`: the one way in which an archive is ever removed, by a person who was shown which."""

import argparse
import getpass
import os
import re
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from metrics_storage.cli.archive_views import describe_all, print_table
from metrics_storage.cli.tables import count, shown, size
from metrics_storage.cli.vaults import filtered, ids, label, opened_vault
from metrics_storage.engine.pruning import Needs, Selection, select
from metrics_storage.engine.vault import Description, Stored, Vault
from metrics_storage.engine.volume import Role, Volume
from metrics_storage.errors import SettingsError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")


def prune(arguments: argparse.Namespace) -> int:
    """Remove the archives that are selected and not needed any more, after asking."""
    selection = _selection(arguments)
    if not (arguments.yes or arguments.dry_run or sys.stdin.isatty()):
        raise SettingsError("nobody can be asked without a terminal: give --yes, or --dry-run")
    with ExitStack() as stack:
        vault = stack.enter_context(opened_vault(arguments, writable=True))
        storage = None
        root = arguments.storage_root or os.environ.get("METRICS_STORAGE_STORAGE_ROOT")
        if root:
            storage = stack.enter_context(Volume(Path(root), Role.STORAGE, initialise=False))
            _require_partners(storage, vault.volume)
        now = time.time()
        # What follows an archive decides about it: all are looked at, whatever the filters say.
        everything = list(describe_all(vault, vault.archives()))
        wanted = set(filtered([one.stored for one in everything], arguments))
        needs = Needs(storage, everything)
        chosen = [one for one in select(everything, selection, now) if one.stored in wanted]
        kept = {one.stored: reason for one in chosen if (reason := needs.reason(one, now))}
        free = [one for one in chosen if one.stored not in kept]
        _print_kept(kept, [one.stored for one in everything])
        print_table(free, [one.stored for one in everything])
        if not free:
            print("nothing to remove", file=sys.stderr)
            return 0
        if arguments.dry_run:
            print(f"would remove {_amount(free)}")
            return 0
        if not arguments.yes and not _confirmed(free):
            print("nothing was removed", file=sys.stderr)
            return 1
        return _remove(vault, needs, free)


def _require_partners(storage: Volume, quarantine: Volume) -> None:
    """See that the journal is the one of these archives: another one would know none of them, and free them all."""
    if storage.partner not in (None, quarantine.id):
        raise SettingsError(
            f"storage volume {storage.path} belongs with quarantine volume {storage.partner}, not with "
            f"{quarantine.path} ({quarantine.id}): its journal knows nothing of these archives"
        )


def _selection(arguments: argparse.Namespace) -> Selection:
    selection = Selection(
        older_than=_seconds(arguments.older_than) if arguments.older_than else None,
        keep_last=arguments.keep_last,
        superseded=arguments.unclean_superseded,
        incomplete=arguments.incomplete,
    )
    if selection == Selection():
        raise SettingsError(
            "say which archives to prune: --older-than, --keep-last, --unclean-superseded or --incomplete"
        )
    if selection.incomplete and (selection.superseded or selection.keep_last is not None):
        raise SettingsError("--incomplete goes with --older-than only")
    if selection.keep_last is not None and selection.keep_last < 0:
        raise SettingsError(f"--keep-last {selection.keep_last} must be 0 or more")
    return selection


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"--older-than {text!r} is not a number with a unit, such as 12h, 30d or 8w")
    return float(match[1]) * _UNITS[match[2]]


def _amount(chosen: list[Description]) -> str:
    return f"{count(len(chosen), 'archive')}, {size(sum(one.size or 0 for one in chosen))}"


def _confirmed(chosen: list[Description]) -> bool:
    print(f"Remove {_amount(chosen)}, for good? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_kept(kept: dict[Stored, str], known: list[Stored]) -> None:
    """Say what is kept, under each reason once."""
    short = sys.stderr.isatty()
    names = ids(known, short=short)
    for reason in dict.fromkeys(kept.values()):
        print(f"kept, {shown(reason)}:", file=sys.stderr)
        for stored in (stored for stored, why in kept.items() if why == reason):
            print(f"  {label(stored, names, short=short)}", file=sys.stderr)


def _remove(vault: Vault, needs: Needs, chosen: list[Description]) -> int:
    """Remove one after the other, each only if nothing needs it by now."""
    late = 0
    for one in chosen:
        vault.volume.check()
        if reason := needs.reason(one, time.time()):
            print(f"kept: {one.stored.path}: {shown(reason)}", file=sys.stderr)
            late += 1
            continue
        vault.remove(
            one.stored,
            {
                "removed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "removed_by": os.environ.get("SUDO_USER") or getpass.getuser(),
                "archive": one.stored.path,
                "sha256": one.trailer.archive_sha256 if one.trailer else None,
                "created_at": one.header.created_at if one.header else None,
            },
        )
        print(f"removed {one.stored.path}")
    return 1 if late else 0
