"""Types of flags and arguments: text from a person into checked values, with what was expected where it is wrong."""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from metrics_storage.errors import SettingsError
from metrics_storage.model.identity import Uid

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")

_Value = TypeVar("_Value")
_Chosen = TypeVar("_Chosen", bound=StrEnum)


class Checked(click.ParamType[Any], Generic[_Value]):
    """A type made of a function from text; what it raises as `SettingsError` is what is wrong with the text."""

    def __init__(self, name: str, parse: Callable[[str], _Value]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The checked value; a default is one already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except SettingsError as exc:
            self.fail(str(exc), param, ctx)


class Choice(Checked[_Chosen]):
    """One of a few words."""

    def __init__(self, choices: type[_Chosen]) -> None:
        super().__init__("|".join(choices), self._choose)
        self._choices = choices

    def _choose(self, text: str) -> _Chosen:
        if text not in list(self._choices):
            raise SettingsError(f"{text!r} must be one of {', '.join(self._choices)}")
        return self._choices(text)

    def shell_complete(self, _: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that begin like this."""
        return [CompletionItem(str(choice)) for choice in self._choices if choice.startswith(incomplete)]


class Directory(click.Path):
    """A path of a directory, for completion; whether it is there is the command's business."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)


def number(least: float, kind: type[int] | type[float]) -> Checked[int | float]:
    """A number that is not smaller than `least`."""

    def parse(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            raise SettingsError(f"{text!r} is not a number") from None
        if not least <= value < float("inf"):
            raise SettingsError(f"{text!r} must be {least:g} or more")
        return value

    return Checked("number", parse)


def absolute(text: str) -> Path:
    """An absolute path."""
    if not text.startswith("/"):
        raise SettingsError(f"{text!r} is not an absolute path")
    return Path(text)


def address(text: str) -> tuple[str, int]:
    """Host and port."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{text!r} is not HOST:PORT such as 0.0.0.0:8080")
    return host.strip("[]"), int(port)


def seconds(text: str) -> float:
    """A duration with its unit, in seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is not a number with a unit, such as 12h, 30d or 8w")
    return float(match[1]) * _UNITS[match[2]]


def kubernetes_name(text: str) -> str:
    """The name of a namespace or resource; a flag that stands where one was forgotten is none."""
    if _NAME.fullmatch(text) is None:
        raise SettingsError(f"{text!r} is not a name that Kubernetes knows: a-z, 0-9, - and . only")
    return text


def digest(text: str) -> str:
    """A SHA-256 in hexadecimal digits."""
    found = text.lower().removeprefix("sha256:")
    if re.fullmatch(r"[0-9a-f]{64}", found) is None:
        raise SettingsError(f"{text!r} is not a SHA-256: 64 hexadecimal digits")
    return found


def volume_id(text: str) -> Uid:
    """The id of a storage volume."""
    found = Uid.parse(text)
    if found is None:
        raise SettingsError(f"{text!r} is not the id of a storage volume, as in status.storageVolumeID")
    return found


def uid(text: str) -> Uid:
    """The uid of a MetricsStorage."""
    found = Uid.parse(text)
    if found is None:
        raise SettingsError(f"{text!r} is not the metadata.uid of a MetricsStorage")
    return found
