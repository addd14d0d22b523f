"""What the commands have in common that run until they are asked to end: flags from settings, packages, the end."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import MISSING, fields
from typing import Any

import click

from metrics_storage.cli.command import Decorator, variable
from metrics_storage.cli.options import setting
from metrics_storage.errors import MetricsStorageError

Flag = Callable[[str, str, click.ParamType[Any], str], Decorator]
"""A flag by its name without dashes, what stands for its value in the help, its type, and its help."""


def flags_of(settings: type[Any], *, needed_unless: str = "", needed: Collection[str] = ()) -> Flag:
    """Flags whose names and defaults are those of the fields of a dataclass.

    Fields without a default are required; those in `needed` are, too, but where the flag `needed_unless` was given.
    """
    defaults = {field.name: field.default for field in fields(settings)}

    def flag(name: str, metavar: str, kind: click.ParamType[Any], text: str) -> Decorator:
        field = name.replace("-", "_")
        if field in needed:
            attributes: dict[str, Any] = {"required": True, "unless": needed_unless}
        elif defaults[field] is MISSING:
            attributes = {"required": True}
        else:
            attributes = {"default": defaults[field], "written": _written(defaults[field])}
        return setting(f"--{name}", metavar=metavar, type=kind, envvar=variable(name), help=text, **attributes)

    return flag


@contextlib.contextmanager
def needing(command: str, packages: Collection[str], extras: str) -> Iterator[None]:
    """Say of imports inside of this what to install where one of these packages is not.

    Raises:
        MetricsStorageError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in packages:
            raise
        raise MetricsStorageError(
            f"{command} needs {exc.name}, which is not installed: pip install 'metrics-storage-operator[{extras}]'"
        ) from exc


def run_until_asked(main: Coroutine[Any, Any, None], who: str) -> int:
    """Run until SIGTERM; returns the exit code."""
    try:
        with contextlib.suppress(asyncio.CancelledError):  # Asked to end, perhaps before it had begun.
            asyncio.run(main)
    except OSError:
        # Nobody foresaw it: the log has to tell where it came from.
        logging.getLogger(__name__).exception("the %s ends", who)
        return 1
    return 0


def _written(default: Any) -> str:
    """A default as people write it; empty where there is nothing to show."""
    if isinstance(default, tuple):
        return "{}:{}".format(*default)
    return f"{default:g}" if isinstance(default, float) else str(default or "")
