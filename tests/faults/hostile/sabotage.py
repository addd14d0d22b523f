"""Engines that are broken on purpose in what protects them from hostile directories: each must be noticed.

Applied inside of a worker process, by name, until its end.
"""

import os
from typing import Final

from metrics_storage.engine.archives import archiver
from metrics_storage.engine.archives.format import source, xattrs
from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.fs import syscalls
from metrics_storage.engine.volume.volume import Volume
from tests.faults.change import Change, apply, in_place_of, left_out, then


def _open_following(dir_fd: int, name: bytes, flags: int) -> int:
    """Only what is opened to be read follows: a handle that does sees another file without any race."""
    follow = 0 if flags & os.O_PATH else os.O_NOFOLLOW
    return os.open(name, flags & ~follow, dir_fd=dir_fd)


def _open_across_mounts(dir_fd: int, name: bytes, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, dir_fd=dir_fd)


def _unchanged(entry: Entry) -> Entry:
    if entry.status == "changed" and entry.stored:
        entry.status = "ok"
    return entry


_COMPARE_NOTHING: Final = left_out(archiver._require_unchanged)

_SABOTAGES: Final[dict[str, tuple[Change, ...]]] = {
    "follows links": (in_place_of(syscalls.open_beneath, _open_following),),
    "crosses mounts": (in_place_of(syscalls.open_beneath, _open_across_mounts),),
    "forgets extended attributes": (left_out(xattrs.read_xattrs),),
    "compares nothing": (_COMPARE_NOTHING,),
    "trusts every volume": (left_out(Volume.check),),
    "ignores changes": (then(source.Source.read, _unchanged), _COMPARE_NOTHING),
}


def sabotage(name: str) -> None:
    """Have the engine in this process be broken so, until its end."""
    apply(*_SABOTAGES[name])
