"""Flags of `metrics-storage archives`. What the commands do is in the modules `archive_*`."""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from metrics_storage.cli.archive_prune import prune
from metrics_storage.cli.archive_views import list_archives, show
from metrics_storage.cli.archive_work import restore, verify
from metrics_storage.errors import ArchiveError

AddParser = Callable[..., argparse.ArgumentParser]
Command = Callable[[argparse.Namespace], int]

_ARCHIVE: Final = "its path as status.quarantine.archive has it, its ID from `list`, a uid, or NAMESPACE/NAME"
_EXIT: Final = "exit codes: 0 done, 1 failure, 2 wrong usage"

_EPILOG: Final = f"""\
The volume may be mounted read-only for everything but prune.

{_EXIT}

examples:
  export METRICS_STORAGE_QUARANTINE_ROOT=/srv/quarantine
  metrics-storage archives list --namespace runners
  metrics-storage archives verify --all
  metrics-storage archives restore runners/runner-0 /tmp/evidence
"""
_LIST_EPILOG: Final = f"""\
STATE is what the manifests say; only verify reads everything:
  clean        archived whole
  not clean    something changed or could not be read meanwhile: a provisional archive
  damaged      the manifest cannot be read, or is another archive's
  no archive   only the manifest is there: an interrupted commit, whose source is kept, or a loss
  no manifest  only the archive is there: an interrupted removal, or a loss

{_EXIT}

examples:
  metrics-storage archives list --quarantine-root /srv/quarantine
  metrics-storage archives list --output json | jq -r 'select(.clean | not) | .archive'
"""
_SHOW_EPILOG: Final = f"""\
After a name, -> is what a symbolic link says, = the file that a hard link is linked to, [..] what
was amiss. With --output json the manifest's own lines are printed: header, entries, trailer.
Nothing is extracted, and whatever could control a terminal is escaped.

{_EXIT} (1: the manifest is damaged)

examples:
  metrics-storage archives show 0b0c7f5e_1
  metrics-storage archives show runners/runner-0 --output json | jq -r '.shown // empty'
"""
_VERIFY_EPILOG: Final = """\
Every byte of archive and manifest is read, from the disk and not from memory, and compared:
members, digests, the end.

exit codes: 0 all are sound, 1 one is corrupt, incomplete or unreadable, 2 wrong usage

examples:
  metrics-storage archives verify --all --output json
  metrics-storage archives verify runners/runner-0 \\
      --sha256 "$(kubectl get mstor runner-0 -n runners -o jsonpath='{.status.quarantine.sha256}')"
"""
_RESTORE_EPILOG: Final = """\
The archive is verified first. DIRECTORY must be new or empty; the content comes into
DIRECTORY/<name of the runner>. Modes, times, holes in sparse files and FIFOs are restored.

Refused are links that are absolute or lead out of the directory, and hard links to anything but
restored files. If anything is refused, it is named and nothing is restored; --skip-refused leaves
it out and restores the rest. Device nodes and sockets are in the manifest only. setuid and setgid
are left out, files belong to whoever restores, and of extended attributes only user.* are
restored, unless flags say otherwise.

exit codes: 0 restored, 1 failure, corrupt or refused, 2 wrong usage,
            3 restored without what is refused

examples:
  metrics-storage archives restore runners/runner-0 /tmp/evidence --dry-run
  metrics-storage archives restore 0b0c7f5e_2 /tmp/evidence --skip-refused
"""
_PRUNE_EPILOG: Final = f"""\
Conditions add up: --older-than 30d --keep-last 3 removes what is older than 30 days and not among
the last three of its namespace and name.

What is needed is kept in any case. With --storage-root (or METRICS_STORAGE_STORAGE_ROOT), that is
until the journal there says that the source is gone. Without, everything younger than 24 h is
kept, and what is not clean, unless a clean archive of the same uid followed.

What is removed is noted in .metrics-storage/pruned.jsonl on the volume. The manifest goes first:
what an interrupted removal leaves is listed as `no manifest`, and --incomplete removes it.

{_EXIT}

examples:
  metrics-storage archives prune --older-than 30d --storage-root /srv/metrics --dry-run
  metrics-storage archives prune --keep-last 3 --namespace runners
  metrics-storage archives prune --unclean-superseded --older-than 2d --yes
"""


def add_archives(add_parser: AddParser) -> None:
    """Add the command `archives` with its own commands."""
    parser = add_parser("archives", **_texts("look at, verify, restore and prune archives", _EPILOG))
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser

    one = _add(add, "list", list_archives, "list the archives of a quarantine volume", _LIST_EPILOG)
    _add_filters(one)
    _add_output(one)

    one = _add(add, "show", show, "show what a manifest says of an archive", _SHOW_EPILOG)
    one.add_argument("archive", metavar="ARCHIVE", help=_ARCHIVE)
    one.add_argument("--summary", action="store_true", help="without the entries")
    _add_output(one)

    one = _add(add, "verify", verify, "read archives and say whether they are sound", _VERIFY_EPILOG)
    one.add_argument("archives", metavar="ARCHIVE", nargs="*", help=_ARCHIVE)
    one.add_argument("--all", action="store_true", help="all archives, or all that --namespace and --name leave")
    one.add_argument("--sha256", metavar="DIGEST", help="the digest that the one archive must have")
    _add_filters(one)
    _add_output(one)
    _add_quiet(one)

    one = _add(add, "restore", restore, "verify an archive and restore it into a new directory", _RESTORE_EPILOG)
    one.add_argument("archive", metavar="ARCHIVE", help=_ARCHIVE)
    one.add_argument("directory", metavar="DIRECTORY", help="a new or empty directory")
    one.add_argument("--dry-run", action="store_true", help="verify and say what would be done")
    one.add_argument("--skip-refused", action="store_true", help="leave out what is refused, and go on")
    one.add_argument("--keep-special-modes", action="store_true", help="restore setuid and setgid")
    one.add_argument("--same-owner", action="store_true", help="restore owners and groups; needs root")
    one.add_argument("--all-xattrs", action="store_true", help="restore all extended attributes, capabilities too")
    _add_quiet(one)

    one = _add(add, "prune", prune, "remove archives for good, after asking", _PRUNE_EPILOG)
    one.add_argument("--older-than", metavar="AGE", help="only what is older: 12h, 30d, 8w")
    one.add_argument("--keep-last", metavar="N", type=int, help="not the last N of each namespace and name")
    one.add_argument(
        "--unclean-superseded", action="store_true", help="only archives not clean that a clean one of the uid follows"
    )
    one.add_argument("--incomplete", action="store_true", help="only what has lost its archive or manifest")
    one.add_argument("--storage-root", metavar="DIR", help="the storage volume whose journal is asked")
    one.add_argument("--dry-run", action="store_true", help="say what would be removed")
    one.add_argument("--yes", action="store_true", help="remove without asking")
    _add_filters(one)


def _add(add: AddParser, name: str, command: Command, text: str, epilog: str) -> argparse.ArgumentParser:
    parser = add(name, **_texts(text, epilog))
    parser.add_argument(
        "--quarantine-root",
        metavar="DIR",
        help="where the quarantine volume is mounted (default: METRICS_STORAGE_QUARANTINE_ROOT)",
    )
    parser.set_defaults(command=_guarded(command))
    return parser


def _texts(text: str, epilog: str) -> dict[str, Any]:
    return {
        "help": text,
        "description": f"{text[0].upper()}{text[1:]}.",
        "epilog": epilog,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--namespace", metavar="NAME", help="only archives of this namespace")
    parser.add_argument("--name", metavar="NAME", help="only archives of runners of this name")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="table (default), or json: an object a line"
    )


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _guarded(command: Command) -> Command:
    """Turn what the system says into one line, and the reader's end (`| head`) into silence."""

    @functools.wraps(command)
    def run(arguments: argparse.Namespace) -> int:
        try:
            code = command(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain once more while it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as exc:
            raise ArchiveError(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)) from exc
        return code

    return run
