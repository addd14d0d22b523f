"""Flags that several commands have."""

from enum import StrEnum
from functools import reduce
from typing import Any

import click

from metrics_storage.cli.command import Decorator, Setting, variable
from metrics_storage.cli.values import Checked, Choice, Directory, absolute, kubernetes_name


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


def setting(*flags: str, **attributes: Any) -> Decorator:
    """A flag with a value, as a decorator; arguments as for `click.option`."""
    return click.option(*flags, cls=Setting, **attributes)


def together(*decorators: Decorator) -> Decorator:
    """Several flags as one decorator, in this order in the help."""
    return lambda function: reduce(lambda done, add: add(done), reversed(decorators), function)


def _storage_root(*, required: bool) -> Decorator:
    return setting(
        "--storage-root",
        metavar="DIR",
        type=Checked("directory", absolute),
        required=required,
        envvar=variable("--storage-root"),
        show_envvar=True,
        help="Where the storage volume is mounted.",
    )


storage_root = _storage_root(required=True)
storage_root_if_any = _storage_root(required=False)


def _quarantine_root(beside: str = "", *, required: bool) -> Decorator:
    return setting(
        "--quarantine-root",
        metavar="DIR",
        type=Directory(),
        required=required,
        envvar=variable("--quarantine-root"),
        show_envvar=True,
        help=f"Where the quarantine volume is mounted{beside}.",
    )


quarantine_root = _quarantine_root(required=True)
quarantine_root_if_any = _quarantine_root(required=False)
quarantine_root_or_copy = _quarantine_root("; not needed for a copied archive", required=False)

filters = together(
    setting(
        "-n",
        "--namespace",
        metavar="NAME",
        type=Checked("name", kubernetes_name),
        help="Only archives of this namespace.",
    ),
    setting(
        "--name", metavar="NAME", type=Checked("name", kubernetes_name), help="Only archives of runners of this name."
    ),
)

output = setting(
    "-o",
    "--output",
    metavar="table|json",
    type=Choice(Output),
    default=Output.TABLE,
    written=Output.TABLE,
    help="A table, or json: an object a line.",
)

quiet = click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
