"""What all commands on archives share: opening the quarantine volume, finding the archive that was meant."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from metrics_storage.engine.archives.store import Archives, ArchiveStore, CopiedPair, Stored
from metrics_storage.errors import SettingsError
from metrics_storage.model.identity import ARCHIVE_SUFFIX, MANIFEST_SUFFIX

_UID: Final = re.compile(r"([0-9a-f][-0-9a-f]{3,35})(?:_([0-9]+))?")
_NAMED: Final = 5
_SHORT: Final = 8
"""Digits of a uid that identify it among a few thousand."""


ARCHIVE_HELP: Final = (
    "Its path as status.quarantine.archive has it, its ID from list, a uid, or NAMESPACE/NAME; or the path of a copied "
    ".tar.gz beside its manifest."
)

archive_argument = click.argument("archive", metavar="ARCHIVE", help=ARCHIVE_HELP)


@contextmanager
def opened_store(root: Path, *, writable: bool = False) -> Iterator[ArchiveStore]:
    """The archives of a quarantine volume.

    Raises:
        VolumeError: it is no quarantine volume.
    """
    with ArchiveStore.opened(root, writable=writable) as store:
        yield store


@contextmanager
def opened_archives(root: Path | None, *references: str) -> Iterator[Archives]:
    """The archives of a quarantine volume, or the copied pair of files that the one reference is the path of.

    Raises:
        VolumeError: it is no quarantine volume.
        SettingsError: neither is given.
    """
    if len(references) == 1 and references[0].endswith((ARCHIVE_SUFFIX, MANIFEST_SUFFIX)):
        path = Path(references[0])
        if path.is_file() and (root is None or not path.is_absolute() or root not in path.parents):
            yield CopiedPair(path)
            return
    if root is None:
        raise SettingsError(
            "--quarantine-root or METRICS_STORAGE_QUARANTINE_ROOT is missing: say where the quarantine volume is "
            f"mounted, or give the path of a copied archive, NAME{ARCHIVE_SUFFIX}, that lies beside its manifest"
        )
    with ArchiveStore.opened(root) as store:
        yield store


@dataclass(frozen=True, slots=True)
class Filter:
    """Which archives are meant by the flags `--namespace` and `--name`; None means any."""

    namespace: str | None
    name: str | None

    def of(self, found: Sequence[Stored]) -> list[Stored]:
        """What these flags leave over."""
        return [
            stored
            for stored in found
            if self.namespace in (None, stored.namespace) and (self.name is None or _is_named(stored, self.name))
        ]


def find(store: Archives, found: Sequence[Stored], reference: str) -> Stored:
    """The one archive that somebody means by its path, its id from `list`, its runner, or the beginning of its uid.

    Raises:
        SettingsError: none or several are meant.
    """
    meant = _meant(store, found, reference)
    if not meant:
        raise SettingsError(f"no archive {reference!r} on {store.path}; see: metrics-storage archives list")
    if len(meant) > 1:
        paths = ", ".join(stored.path for stored in meant[:_NAMED])
        more = f" and {len(meant) - _NAMED} more" if len(meant) > _NAMED else ""
        raise SettingsError(f"{reference!r} may mean {len(meant)} archives, name one: {paths}{more}")
    return meant[0]


def ids(found: Sequence[Stored], *, short: bool) -> dict[Stored, str]:
    """A name for each archive that `find` understands: its uid, shortened where that is clear, and its attempt."""
    uids = {stored.uid for stored in found}
    length = _SHORT if short and len({uid[:_SHORT] for uid in uids}) == len(uids) else None
    return {stored: f"{stored.uid[:length]}_{stored.attempt}" for stored in found}


def label(stored: Stored, names: dict[Stored, str], *, short: bool) -> str:
    """An archive in a line of text: short for people, its path for scripts."""
    return f"{names[stored]}  {stored.namespace}/{stored.name}" if short else stored.path


def _meant(store: Archives, found: Sequence[Stored], reference: str) -> list[Stored]:
    path = reference
    if path.startswith("/"):
        path = os.path.relpath(os.path.realpath(path), os.path.realpath(store.path))
    path = path.removesuffix(ARCHIVE_SUFFIX).removesuffix(MANIFEST_SUFFIX)
    exact = [stored for stored in found if path in (f"{stored.namespace}/{stored.stem}", stored.stem)]
    if exact:
        return exact
    namespace, _, name = path.rpartition("/")
    uid = _UID.fullmatch(path)
    return [
        stored
        for stored in found
        if (_is_named(stored, name) and namespace in ("", stored.namespace))
        or (uid and stored.uid.startswith(uid[1]) and uid[2] in (None, str(stored.attempt)))
    ]


def _is_named(stored: Stored, name: str) -> bool:
    # File names hold only the beginning of very long names.
    return stored.name == name or (len(stored.name) > 150 and name.startswith(stored.name))


def total(store: Archives, stored: Stored) -> int:
    """Bytes of content that verifying will read, by the manifest's word."""
    try:
        trailer = store.describe(stored).trailer
    except OSError:
        return 0
    return trailer.payload_bytes if trailer else 0
