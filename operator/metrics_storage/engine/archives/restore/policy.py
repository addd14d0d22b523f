"""What may be restored from an archive, decided from its manifest alone, before anything is written.

A runner may have filled its directory to harm whoever looks at it. Here is decided what is refused and why; how
entries come to disk is `restore`'s business. Paths need no decision: the manifest's reader accepts none that is
absolute, climbs, repeats or passes through anything but a directory.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from metrics_storage.engine.archives.format.entry import Entry
from metrics_storage.engine.archives.format.manifest import Header
from metrics_storage.engine.archives.format.manifest_reader import ManifestReader
from metrics_storage.engine.fs.walk import printable

SPECIAL_MODES: Final = 0o6000
"""setuid and setgid."""

_TARGET_MAX: Final = 4095
_ID_MAX: Final = 2**32 - 2
_SIZE_MAX: Final = 2**63 - 1
_TIME_MIN: Final = -(2**63)
_TIME_MAX: Final = 2**63 - 1
"""Seconds since 1970."""

_NAMED: Final = 1000
"""How many refused entries are remembered one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What is restored beyond content, permissions and times.

    Without `skip_refused` the first refused entry ends the work.
    """

    keep_special_modes: bool = False
    same_owner: bool = False
    all_xattrs: bool = False
    skip_refused: bool = False

    def mode(self, entry: Entry) -> int:
        """Permission bits that an entry gets."""
        return entry.mode & (0o7777 if self.keep_special_modes else 0o7777 & ~SPECIAL_MODES)

    def xattrs(self, entry: Entry) -> dict[bytes, bytes]:
        """Extended attributes that an entry gets; those outside `user.` can give rights to a program."""
        if self.all_xattrs:
            return entry.xattrs
        return {name: value for name, value in entry.xattrs.items() if name.startswith(b"user.")}


@dataclass(slots=True)
class Refusals:
    """Refused entries: how many, and the first thousand by name, escaped."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, entry: Entry, reason: str) -> str:
        """Remember one; returns it in words."""
        self.count += 1
        text = f"{printable(entry.path)}: {reason}"
        if len(self.named) < _NAMED:
            self.named.append(text)
        return text


@dataclass(slots=True)
class Survey:
    """What restoring would do. `bytes` is content to write; the other numbers count entries.

    `by_type` counts what is restored, `recorded` what stands in the manifest only, by type. `stripped` lose
    setuid or setgid, `changed` were not archived as they were at one instant.
    `xattrs` counts extended attributes that are left out.
    """

    header: Header
    bytes: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    recorded: Counter[str] = field(default_factory=Counter)
    refused: Refusals = field(default_factory=Refusals)
    stripped: int = 0
    xattrs: int = 0
    changed: int = 0


class Judge:
    """Decides about entries in the order of the manifest; tell it with `accept` what was restored."""

    def __init__(self, options: RestoreOptions) -> None:
        self._options = options
        self._links: set[int] = set()

    def refusal(self, entry: Entry) -> str | None:
        """Why an entry must not be restored; None if it may."""
        if entry.size > _SIZE_MAX:
            return f"a size of {entry.size} bytes, which no file can have"
        if not _TIME_MIN <= entry.mtime_ns // 10**9 <= _TIME_MAX:
            return f"a time of {entry.mtime_ns} ns, which no file can have"
        if self._options.same_owner and max(entry.uid, entry.gid) > _ID_MAX:
            return f"owner {entry.uid}:{entry.gid} is none that the system can have"
        if entry.target is not None:
            return _target_refusal(entry.target, entry.depth - 1)
        if entry.link is not None and entry.link_number not in self._links:
            return f"hard link to {printable(entry.link)}, which is no restored file of the archive"
        return None

    def accept(self, entry: Entry) -> None:
        """Note that an entry was restored, so that later ones may be hard links to it."""
        if entry.is_link_source:
            self._links.add(entry.number)


def survey(manifest_fd: int, options: RestoreOptions) -> Survey:
    """Go through a manifest and say what restoring its archive would do.

    Raises:
        ArchiveCorruptError: the manifest is not valid.
    """
    manifest = ManifestReader(manifest_fd)
    found = Survey(manifest.header)
    judge = Judge(options)
    for entry in manifest:
        found.changed += entry.status != "ok"
        if not entry.stored:
            found.recorded[entry.type] += 1
        elif reason := judge.refusal(entry):
            found.refused.add(entry, reason)
        else:
            judge.accept(entry)
            found.by_type["hard link" if entry.link else entry.type] += 1
            found.bytes += entry.payload
            found.stripped += options.mode(entry) != entry.mode & 0o7777 and entry.type != "symlink"
            found.xattrs += len(entry.xattrs) - len(options.xattrs(entry))
    return found


def _target_refusal(target: bytes, depth: int) -> str | None:
    """Why a symbolic link is refused whose directory is `depth` levels below the archived one.

    `..` after a name is refused even where it seems to stay inside: if the name is a link itself, it leads
    elsewhere than the text says (CVE-2025-4517). Without these, every step of a chain of links stays inside.
    """
    shown = printable(target)
    if not target or b"\0" in target or len(target) > _TARGET_MAX:
        return f"symbolic link to {shown!r}, which no link can say"
    if target.startswith(b"/"):
        return f"symbolic link to {shown}, an absolute path"
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == b"..":
        climbs += 1
    if climbs > depth:
        return f"symbolic link to {shown}, out of the directory"
    if b".." in parts[climbs:]:
        return f"symbolic link to {shown}, which climbs after it descends"
    return None
