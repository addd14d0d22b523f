"""What is wrong with a command line, one line a problem."""

import click

from metrics_storage.cli.command import SettingsProblems


def lines_of(error: click.ClickException) -> list[str]:
    """The error as lines that name the flag, the value, what was expected, and where to look."""
    if isinstance(error, SettingsProblems):
        return [line for problem in error.problems for line in lines_of(problem)]
    if isinstance(error, click.BadParameter) and error.param is not None:
        return [_of_parameter(error, error.param)]
    meant: list[str] = []
    if isinstance(error, click.NoSuchOption | click.NoSuchCommand):
        meant = error.possibilities or []
    text = error.message if meant else error.format_message()
    text = text[:1].lower() + text[1:].rstrip(".")
    if meant:
        text += f"; did you mean {' or '.join(meant)}?"
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f"{' ' if meant else '; '}see: {error.ctx.command_path} --help"
    return [text]


def _of_parameter(error: click.BadParameter, parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option):
        name = parameter.metavar or parameter.human_readable_name
        if isinstance(error, click.MissingParameter):
            path = error.ctx.command_path if error.ctx else ""
            return f"{name} is missing; see: {path} --help"
        return f"{name} {error.message}".rstrip(".")
    flag = max(parameter.opts, key=len)
    if isinstance(error, click.MissingParameter):
        return f"{flag} or {parameter.envvar} is missing" if parameter.envvar else f"{flag} is missing"
    text = f"{flag} {error.message}".rstrip(".")
    if error.ctx and error.ctx.get_parameter_source(parameter.name or "") is click.core.ParameterSource.ENVIRONMENT:
        text += f" (from {parameter.envvar})"
    return text
