"""Flags of the commands. Every flag of `run` is also an environment variable, and the flag wins."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from metrics_storage.controller.settings import LogFormat, Settings
from metrics_storage.engine.volume import Role
from metrics_storage.errors import SettingsError

_PREFIX: Final = "METRICS_STORAGE_"

AddParser = Callable[..., argparse.ArgumentParser]
Command = Callable[[argparse.Namespace], None]


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag of `run`: how its text becomes a value, what it is without one, and what it is for."""

    name: str
    metavar: str
    parse: Callable[[str], Any]
    default: Any
    help: str

    @property
    def variable(self) -> str:
        return _PREFIX + self.name.upper().replace("-", "_")


def _number(least: float, kind: type[Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise SettingsError(f"{text!r} is not a number") from None
        if not least <= value < float("inf"):
            raise SettingsError(f"{text!r} must be {least:g} or more")
        return value

    return parse


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{text!r} is not HOST:PORT such as 0.0.0.0:8080")
    return host.strip("[]"), int(port)


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise SettingsError(f"{text!r} is not an absolute path")
    return Path(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(",", " ").split() if name)


def _log_format(text: str) -> LogFormat:
    if text not in list(LogFormat):
        raise SettingsError(f"{text!r} must be one of {', '.join(LogFormat)}")
    return LogFormat(text)


_REQUIRED: Final = object()
_RUN_FLAGS: Final = (
    _Flag("storage-root", "DIR", _absolute, _REQUIRED, "where the storage volume is mounted"),
    _Flag("quarantine-root", "DIR", _absolute, _REQUIRED, "where the quarantine volume is mounted"),
    _Flag(
        "volume-source",
        "SOURCE",
        str,
        _REQUIRED,
        "where runners' volumes point: claim:<namespace>/<name> (derived from the operator's own storage claim), "
        "hostpath:<dir> or nfs:<server>:<dir>",
    ),
    _Flag(
        "node-name",
        "NAME",
        str,
        None,
        "the node that a host path is on; without it, every node has the same one",
    ),
    _Flag("cluster", "NAME", str, "", "the cluster's name, written into manifests of archives"),
    _Flag("namespace", "NAME", _names, (), "a namespace to watch; repeat it for more (default: all namespaces)"),
    _Flag("workers", "N", _number(1, int), 8, "threads for work on the storage volume (default: 8)"),
    _Flag("archive-workers", "N", _number(1, int), 1, "archives written at the same time (default: 1)"),
    _Flag(
        "sweep-interval",
        "SECONDS",
        _number(1, float),
        60.0,
        "pause between two looks at usage and drift (default: 60)",
    ),
    _Flag(
        "scrub-interval",
        "SECONDS",
        _number(0, float),
        7 * 86400.0,
        "how often all archives are read again to see that no bits have rotted; 0 for never (default: 604800, a week)",
    ),
    _Flag(
        "scrub-rate",
        "BYTES",
        _number(1, int),
        16 * 1024 * 1024,
        "most bytes of archived content that this reads a second (default: 16777216)",
    ),
    _Flag(
        "health-address",
        "HOST:PORT",
        _address,
        ("0.0.0.0", 8080),  # noqa: S104 - the kubelet probes from outside.
        "where /livez, /readyz and /metrics answer (default: 0.0.0.0:8080)",
    ),
    _Flag("log-format", "FORMAT", _log_format, LogFormat.PLAIN, "plain or json (default: plain)"),
)

_RUN_EPILOG: Final = """\
Every flag is also an environment variable: --storage-root is METRICS_STORAGE_STORAGE_ROOT, and so on; the flag wins.
The cluster is the Pod's own, elsewhere that of KUBECONFIG or ~/.kube/config.

examples:
  metrics-storage run --storage-root /var/lib/metrics-storage/storage \\
      --quarantine-root /var/lib/metrics-storage/quarantine --volume-source claim:metrics-storage/metrics-storage
  METRICS_STORAGE_NAMESPACE="runners-a runners-b" metrics-storage run --storage-root /srv/metrics \\
      --quarantine-root /mnt/evidence --volume-source nfs:nas.example.com:/export/metrics --log-format json
"""


def add_run(add_parser: AddParser, command: Command) -> None:
    """Add the command `run`."""
    parser = add_parser(
        "run",
        help="run the operator",
        description="Run the operator until SIGTERM.",
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag in _RUN_FLAGS:
        action = "append" if flag.parse is _names else "store"
        parser.add_argument(f"--{flag.name}", metavar=flag.metavar, action=action, help=flag.help)
    parser.set_defaults(command=command)


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Settings from the flags of `run` and the environment.

    Raises:
        SettingsError: names every flag that is wrong or missing, in one line.
    """
    values, problems = {}, []
    for flag in _RUN_FLAGS:
        attribute = flag.name.replace("-", "_")
        given = getattr(arguments, attribute)
        text = " ".join(given) if isinstance(given, list) else given
        if text is None:
            text = os.environ.get(flag.variable)
        try:
            if not text:
                if flag.default is _REQUIRED:
                    raise SettingsError(f"is missing ({flag.help}); set it or {flag.variable}")
                values[attribute] = flag.default
            else:
                values[attribute] = flag.parse(text)
        except SettingsError as exc:
            problems.append(f"--{flag.name} {exc}")
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(namespaces=values.pop("namespace"), **values)


def add_release(add_parser: AddParser, command: Command) -> None:
    """Add the command `release`."""
    parser = add_parser(
        "release",
        help="accept that a vanished directory is lost, so that its MetricsStorage can be deleted",
        description="Accept that a vanished directory is lost. Its MetricsStorage, held back with Stalled=True and "
        "reason DirectoryVanished, can then be deleted. Nothing is removed by this command.",
        epilog="example:\n  metrics-storage release 0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("uid", metavar="UID", help="metadata.uid of the MetricsStorage")
    parser.add_argument("--storage-root", metavar="DIR", help="where the storage volume is mounted")
    parser.set_defaults(command=command)


def add_init_volume(add_parser: AddParser, command: Command) -> None:
    """Add the command `init-volume`."""
    parser = add_parser(
        "init-volume",
        help="mark an empty directory as a new storage or quarantine volume",
        description="Mark an empty directory as a new volume. The operator does this by itself in a cluster that "
        "knows of no older volume; later it takes an empty one for one that is not mounted, and a person decides.",
        epilog="example:\n  metrics-storage init-volume quarantine /mnt/new-evidence",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", type=Role, choices=list(Role), metavar="storage|quarantine", help="what it is for")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the mounted, empty directory")
    parser.set_defaults(command=command)


def storage_root(arguments: argparse.Namespace) -> Path:
    """The storage root of a maintenance command, from its flag or the environment of `run`."""
    text = arguments.storage_root or os.environ.get(f"{_PREFIX}STORAGE_ROOT")
    if not text:
        raise SettingsError(f"--storage-root is missing; set it or {_PREFIX}STORAGE_ROOT")
    return _absolute(text)
