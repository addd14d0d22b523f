"""Parse the command line and run what it names; every wrong setting is a line of its own and exit code 2."""

import os
import sys
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from metrics_storage import __version__
from metrics_storage.cli import output
from metrics_storage.cli.accept_loss import accept_loss
from metrics_storage.cli.adopt_volume import adopt_volume
from metrics_storage.cli.agent import agent
from metrics_storage.cli.archives import archives
from metrics_storage.cli.command import Group
from metrics_storage.cli.init_volume import init_volume
from metrics_storage.cli.messages import lines_of
from metrics_storage.cli.output import OutputError, note, say
from metrics_storage.cli.run import run
from metrics_storage.errors import (
    MetricsStorageError,
    RestoreTargetError,
    SettingsError,
    UnacceptableLossError,
    VolumeError,
    VolumeSourceError,
)

PROGRAM: Final = "metrics-storage"
_WRONG_USAGE: Final = (SettingsError, RestoreTargetError, UnacceptableLossError, VolumeError, VolumeSourceError)
_COMPLETION: Final = "_METRICS_STORAGE_COMPLETE"


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        say(f"{PROGRAM} {__version__}")
        ctx.exit()


@click.group(
    PROGRAM,
    cls=Group,
    examples=(
        "metrics-storage run --storage-root /srv/metrics \\\n"
        "    --quarantine-root /srv/quarantine \\\n"
        '    --volume-source hostpath:/srv/metrics --node-name "$(hostname)"',
        "metrics-storage archives list --quarantine-root /srv/quarantine",
        'eval "$(_METRICS_STORAGE_COMPLETE=bash_source metrics-storage)"',
    ),
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Its version.")
def cli() -> None:
    """A directory for every CI runner, and evidence that cannot get lost."""


for _command in (run, agent, archives, accept_loss, init_volume, adopt_volume):
    cli.add_command(_command)
cli.aliases = {"release": "accept-loss"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 success, 1 failure, 2 wrong or missing setting."""
    output.occupy_standard_descriptors()
    try:
        if instruction := os.environ.get(_COMPLETION):
            return shell_complete(cli, {}, PROGRAM, _COMPLETION, instruction)
        code = _invoke(sys.argv[1:] if argv is None else argv)
        output.flush()
    except OutputError as exc:
        output.abandon()
        if exc.is_pipe:
            return 141
        note(f"{PROGRAM}: {exc}")
        return 1
    return code


def _invoke(argv: Sequence[str]) -> int:
    """Run a command and turn what it raises into lines and an exit code."""
    try:
        with cli.make_context(PROGRAM, list(argv)) as ctx:
            code: int = cli.invoke(ctx) or 0
    except click.exceptions.Exit as exc:
        code = exc.exit_code
    except click.exceptions.NoArgsIsHelpError as exc:
        note(exc.message)
        code = 2
    except click.ClickException as exc:
        code = _complain(exc.exit_code, *lines_of(exc))
    except _WRONG_USAGE as exc:
        code = _complain(2, str(exc))
    except MetricsStorageError as exc:
        code = _complain(1, str(exc))
    except OSError as exc:
        said = exc.strerror or str(exc)
        code = _complain(1, f"{exc.filename}: {said}" if exc.filename else said)
    except KeyboardInterrupt:
        code = 130
    return code


def _complain(code: int, *lines: str) -> int:
    for line in lines:
        note(f"{PROGRAM}: {line}")
    return code


if __name__ == "__main__":
    sys.exit(main())
