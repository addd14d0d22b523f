"""The directories of a local manager as paths: what is accepted for one, and how a missing one is made."""

import os
from pathlib import Path

from metrics_storage.errors import SettingsError


def directory_path(given: Path | str, what: str) -> Path:
    """An absolute path, `~` expanded; a relative one counts from the working directory of now. `what` names it.

    Raises:
        SettingsError: it is empty, names an unknown home directory, or cannot be a path.
    """
    try:
        text = os.fspath(given)
        if not isinstance(text, str) or not text or "\0" in text:
            raise SettingsError(
                f"{what} {given!r} is not a path, expected the path of a directory such as /srv/metrics"
            )
        return Path(os.path.normpath(Path(text).expanduser().absolute()))
    except TypeError as exc:
        raise SettingsError(f"{what} {given!r} is of type {type(given).__name__}, expected a path or str") from exc
    except RuntimeError as exc:
        raise SettingsError(f"{what} {given!r}: {exc}; give the path without ~") from exc


def check_apart(storage: Path, quarantine: Path, what: str = "base path") -> None:
    """See that neither directory is inside the other, wherever links lead; they need not exist. `what` is the first.

    Raises:
        SettingsError: one is, so that archives would lie among storages or be archived themselves.
    """
    one, other = Path(os.path.realpath(storage)), Path(os.path.realpath(quarantine))
    if one == other:
        raise SettingsError(
            f"{what} and quarantine path are both {one}, expected a quarantine volume apart from the storages: "
            "give each a directory of its own"
        )
    if one in other.parents or other in one.parents:
        raise SettingsError(
            f"{what} {storage} and quarantine path {quarantine} lie one inside the other, expected two that are "
            "apart: give each a directory of its own, such as /srv/metrics and /srv/quarantine"
        )


def make_directories(path: Path, mode: int) -> None:
    """Make a directory of that mode where none is, and what is missing above it, passable for everybody.

    The process's umask does not count: storages below belong to others, who must reach them.

    Raises:
        OSError: it cannot be made, or something else stands there.
    """
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        os.chmod(each, mode if each == missing[0] else 0o755)
