"""What all commands have in common: help with examples that fits the terminal, and all wrong settings at once.

A command is a function with click's decorators in a module of its own, `cls=Command`, and is added to its group.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import click

from metrics_storage.cli.output import say

PREFIX: Final = "METRICS_STORAGE_"
"""How every environment variable begins."""

WIDTH: Final = 100
"""Most columns of help: longer lines are hard to read, however wide the terminal is."""

EXIT_CODES: Final = {0: "done", 1: "failure", 2: "wrong usage or setting"}

_PROBLEMS: Final = "metrics_storage.problems"


class SettingsProblems(click.UsageError):
    """Several flags or environment variables are wrong or missing."""

    def __init__(self, problems: Sequence[click.BadParameter], ctx: click.Context) -> None:
        super().__init__("", ctx)
        self.problems = problems


def variable(flag: str) -> str:
    """The environment variable of a flag."""
    return PREFIX + flag.removeprefix("--").upper().replace("-", "_")


class Setting(click.Option):
    """A flag with a value. What is wrong with it is reported together with what is wrong with the others."""

    def __init__(self, *args: Any, written: str = "", unless: str = "", **attributes: Any) -> None:
        """Make a flag.

        `written` is how people write its default, empty where there is nothing to show. A required one may be missing
        where the flag `unless`, which is eager, was given.
        """
        super().__init__(*args, **{**attributes, "show_default": bool(written)})
        self.written = written
        self._unless = unless

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What stands in brackets after the help: the default as people write it."""
        extra = super().get_help_extra(ctx)
        return {**extra, "default": self.written} if self.written else extra

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, Any]:
        """Take an empty text for none, as an environment variable that is empty."""
        if opts.get(self.name or "") == "":
            opts = {name: value for name, value in opts.items() if name != self.name}
        return super().consume_value(ctx, opts)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Check a value, which may be missing where another flag says so."""
        if self.required and ctx.params.get(self._unless) and self.value_is_missing(value):
            return None
        return super().process_value(ctx, value)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Note what is wrong; `Command` reports it when all were read."""
        try:
            return super().handle_parse_result(ctx, opts, args)
        except click.BadParameter as exc:
            ctx.meta.setdefault(_PROBLEMS, []).append(exc)
            return None, args


class _Helpful(click.Command):
    """Help through `say`, with exit codes and examples."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        exit_codes: Mapping[int, str] = EXIT_CODES,
        **attributes: Any,
    ) -> None:
        """Make a command.

        Args:
            args: as for click.
            examples: command lines as somebody would type them, of at most 76 columns each.
            exit_codes: what each means.
            attributes: as for click.
        """
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH + 2}
        super().__init__(*args, **{**attributes, "context_settings": settings})
        self.examples = tuple(examples)
        self.exit_codes = dict(exit_codes)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self.exit_codes.items()])
        with formatter.section("Examples"):
            for line in "\n".join(self.examples).splitlines():
                formatter.write(f"  {line}\n")


class Command(_Helpful):
    """One verb."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if problems := ctx.meta.pop(_PROBLEMS, None):
            raise SettingsProblems(problems, ctx)
        return rest


class Group(_Helpful, click.Group):
    """Several verbs under one word."""

    aliases: Mapping[str, str] = {}
    """Further names of verbs, which are understood and not listed."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of a name."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say of a flag that stands before the verb where it belongs."""
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as exc:
            verbs = [path for path, command in _verbs(self, ()) if _takes(command, exc.option_name)]
            if not verbs:
                raise
            # The verb that was typed, if one was, else any.
            verb = max(verbs, key=lambda path: sum(word in args for word in path))
            raise click.UsageError(
                f"{exc.option_name} comes after the command, as in: "
                f"{' '.join([ctx.command_path, *verb, exc.option_name])}",
                ctx,
            ) from exc


def _verbs(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _verbs(command, (*path, name))
        else:
            yield (*path, name), command


def _takes(command: click.Command, flag: str) -> bool:
    return any(flag in parameter.opts for parameter in command.params)


def _show_help(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        say(ctx.get_help())
        ctx.exit()


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What adds flags to the function of a command."""
