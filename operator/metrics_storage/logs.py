"""How log lines look."""

from enum import StrEnum


class LogFormat(StrEnum):
    """One line each, for people or for programs."""

    PLAIN = "plain"
    JSON = "json"
