"""What the commands do, once their flags are read."""

import argparse
import asyncio
import contextlib

from metrics_storage.cli.options import read_settings, storage_root
from metrics_storage.engine.directories import Directories
from metrics_storage.engine.journal import Journal
from metrics_storage.engine.volume import Role, Volume
from metrics_storage.errors import DirectoryExistsError, SettingsError
from metrics_storage.model.identity import is_uid


def run(arguments: argparse.Namespace) -> None:
    """Run the operator."""
    settings = read_settings(arguments)
    # kopf and the Kubernetes client take most of a second to import; no other command needs them.
    from metrics_storage.controller import startup  # noqa: PLC0415

    startup.configure_logging(settings.log_format)
    with contextlib.suppress(asyncio.CancelledError):  # Asked to end before it had begun.
        asyncio.run(startup.run(settings))


def release(arguments: argparse.Namespace) -> None:
    """Accept that a vanished directory is lost."""
    if not is_uid(arguments.uid):
        raise SettingsError(f"{arguments.uid!r} is not the metadata.uid of a MetricsStorage")
    with Volume(storage_root(arguments), Role.STORAGE, initialise=False) as volume:
        record = Journal(volume).read(arguments.uid)
        if record and (place := Directories(volume).find(record)):
            raise DirectoryExistsError(f"the {place} directory of {record.identity} is there, so it is not lost")
        Directories(volume).release(arguments.uid)
    print(f"{arguments.uid} is released: its deletion goes on at the operator's next attempt")


def init_volume(arguments: argparse.Namespace) -> None:
    """Mark an empty directory as a new volume."""
    with Volume(arguments.directory, arguments.role, initialise=True) as volume:
        print(f"{arguments.directory} is {arguments.role} volume {volume.id}")
