"""Engines that are broken on purpose in what protects them from hostile directories: each must be noticed.

Applied inside of a worker process, by name, to the modules that are loaded there.
"""

import os
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from metrics_storage.engine.archives import archiver
from metrics_storage.engine.archives.format import source
from metrics_storage.engine.fs import walk
from metrics_storage.engine.volume.volume import Volume


def _follow_links() -> None:
    """Only what is opened to be read follows: a handle that does sees another file without any race."""

    def open_anything(dir_fd: int, name: bytes, flags: int) -> int:
        follow = 0 if flags & os.O_PATH else os.O_NOFOLLOW
        return os.open(name, flags & ~follow, dir_fd=dir_fd)

    _replace(walk, "open_beneath", open_anything)
    _replace(source, "open_beneath", open_anything)


def _cross_mounts() -> None:
    def open_without_link(dir_fd: int, name: bytes, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=dir_fd)

    _replace(walk, "open_beneath", open_without_link)
    _replace(source, "open_beneath", open_without_link)


def _forget_attributes() -> None:
    _replace(source, "read_xattrs", lambda *_: None)


def _compare_nothing() -> None:
    _replace(archiver, "compare_source", lambda *_args, **_options: ())


def _trust_volumes() -> None:
    _replace(Volume, "check", lambda _: None)


def _ignore_changes() -> None:
    real = source.Source.read

    def read(*args: Any) -> Any:
        entry = real(*args)
        if entry.status == "changed" and entry.stored:
            entry.status = "ok"
        return entry

    _replace(source.Source, "read", read)
    _compare_nothing()


def _replace(holder: object, name: str, value: object) -> None:
    """For good: the process is thrown away."""
    patch.object(holder, name, value).start()


SABOTAGES: Final[dict[str, Callable[[], None]]] = {
    "follows links": _follow_links,
    "crosses mounts": _cross_mounts,
    "forgets extended attributes": _forget_attributes,
    "compares nothing": _compare_nothing,
    "trusts every volume": _trust_volumes,
    "ignores changes": _ignore_changes,
}
