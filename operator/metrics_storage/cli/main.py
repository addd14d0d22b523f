"""Parse the command line and run what it names; every wrong setting is one line and exit code 2."""

import argparse
import sys
from collections.abc import Sequence

from metrics_storage import __version__
from metrics_storage.cli import archives, commands, options
from metrics_storage.errors import MetricsStorageError, SettingsError, VolumeError, VolumeSourceError

_EPILOG = """\
examples:
  metrics-storage run --storage-root /srv/metrics --quarantine-root /srv/quarantine \\
      --volume-source hostpath:/srv/metrics --node-name "$(hostname)"
  kubectl exec -n metrics-storage deploy/metrics-storage-operator -- metrics-storage release <uid>
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 success, 1 failure, 2 wrong or missing setting."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        code: int | None = arguments.command(arguments)
    except (SettingsError, VolumeError, VolumeSourceError) as exc:
        print(f"metrics-storage: {exc}", file=sys.stderr)
        return 2
    except MetricsStorageError as exc:
        print(f"metrics-storage: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code or 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="metrics-storage",
        description="A directory for every CI runner, and evidence that cannot get lost.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    options.add_run(subparsers.add_parser, commands.run)
    options.add_release(subparsers.add_parser, commands.release)
    options.add_init_volume(subparsers.add_parser, commands.init_volume)
    archives.add_archives(subparsers.add_parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
