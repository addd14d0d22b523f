"""Command lines parsed as `main` does, without running what they name."""

from collections.abc import Sequence

import click

from metrics_storage.cli.main import cli
from metrics_storage.cli.run import run
from metrics_storage.controller.settings import Settings


def parsed(arguments: Sequence[str]) -> click.Context:
    """The context of the command that a command line names, with its parameters."""
    command: click.Command = cli
    rest = list(arguments)
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    return command.make_context(command.name, rest)


def settings_of(arguments: Sequence[str]) -> Settings:
    """Settings from the flags of `run` and the environment."""
    return Settings(**run.make_context("run", list(arguments)).params)


def verbs() -> dict[str, click.Command]:
    """Every command by the words that name it, groups too; the command itself is the empty text."""
    found: dict[str, click.Command] = {}

    def add(path: tuple[str, ...], command: click.Command) -> None:
        found[" ".join(path)] = command
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                add((*path, name), inner)

    add((), cli)
    return found
