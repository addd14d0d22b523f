"""One entry of an archived directory, as a value and as a line of the manifest.

Says what was found and what became of it; how it is read from disk or laid out in tar is decided elsewhere.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, Final

from metrics_storage.engine.archives.format.paths import LinkTable
from metrics_storage.engine.fs.walk import printable

VERSION: Final = 2
"""Of the manifests that are written. Version 1 is read: there `link` is a path, `sha256` is of the payload as
stored, and there is no `blocks_sha256`."""

MEMBER_TYPES: Final = frozenset({"directory", "file", "symlink", "fifo"})
"""What becomes a member of the archive. Sockets mean nothing elsewhere, and device nodes would let nobody but
root extract it, and root at a risk: both stand in the manifest only."""

TYPES: Final = MEMBER_TYPES | {"socket", "block", "character", "unknown"}
STATUSES: Final = frozenset({"ok", "changed", "vanished", "unreadable", "other-mount"})


@dataclass(slots=True)
class Entry:
    """What the manifest says of one directory entry.

    `status` is ok, changed (while it was read; what is stored may mix old and new), vanished (before it could
    be read), unreadable (`error` or `xattrs_error` names the errno) or other-mount (another file system begins here).
    """

    path: bytes
    """Path in the archive, see `MemberPaths`."""
    depth: int
    """0 for the directory itself."""
    type: str = "unknown"
    status: str = "ok"
    stored: bool = False
    """Whether the archive has a member for it."""
    mode: int = 0
    """Permission bits with setuid, setgid and sticky."""
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    nlink: int = 0
    inode: int = 0
    device: tuple[int, int] | None = None
    """Major and minor number of a device node."""
    target: bytes | None = None
    """What a symbolic link says."""
    number: int = 0
    """Place in the manifest, counted from 0; no line says it."""
    link: bytes | None = None
    """Path of the earlier entry that is a hard link to the same file and holds its content and attributes."""
    link_number: int | None = None
    """Place of that entry in the manifest."""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    payload: int = 0
    """Bytes of content in the archive: for sparse files the map and the data, without the holes."""
    sparse: bool = False
    sha256: str | None = None
    """Digest of the content, holes as zeros; None for files with holes that are too large for it."""
    blocks_sha256: str | None = None
    """Digest of the content without the blocks that are all zeros, see `Content`."""
    error: str | None = None
    """Why it is not read whole: content, names in a directory, target of a link. Content that could not be read is
    zeros in the archive."""
    xattrs_error: str | None = None
    """Why extended attributes are missing; those that could be read are there."""

    @property
    def problem(self) -> str:
        """What keeps its archive from being clean, in words; empty where nothing does."""
        if self.status == "ok":
            return ""
        reasons = (self.error, self.xattrs_error and f"extended attributes: {self.xattrs_error}")
        return self.status + (f" ({named})" if (named := ", ".join(filter(None, reasons))) else "")

    def to_json(self, version: int = VERSION) -> dict[str, Any]:
        """Fields of the manifest line; `shown` is the path for people, shortened and escaped."""
        line: dict[str, Any] = {
            "record": "entry",
            "path": _encode(self.path),
            "shown": printable(self.path),
            "depth": self.depth,
            "type": self.type,
            "status": self.status,
            "stored": self.stored,
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "mtime_ns": self.mtime_ns,
            "size": self.size,
            "nlink": self.nlink,
            "inode": self.inode,
            "payload": self.payload,
        }
        if self.device is not None:
            line["device"] = list(self.device)
        if self.target is not None:
            line["target"] = _encode(self.target)
        if self.link is not None:
            line["link"] = _encode(self.link) if version == 1 else self.link_number
        if self.xattrs:
            line["xattrs"] = {_encode(name): _encode(value) for name, value in self.xattrs.items()}
        if self.sparse:
            line["sparse"] = True
        if self.sha256 is not None:
            line["sha256"] = self.sha256
        if self.blocks_sha256 is not None:
            line["blocks_sha256"] = self.blocks_sha256
        if self.error is not None:
            line["error"] = self.error
        if self.xattrs_error is not None:
            line["xattrs_error"] = self.xattrs_error
        return line

    @classmethod
    def from_json(cls, line: dict[str, Any], links: LinkTable, version: int = VERSION) -> "Entry":
        """The inverse of `to_json` for the lines it makes.

        Args:
            line: fields of the manifest line.
            links: earlier entries that hard links may refer to, by their numbers, in version 1 by their paths.
            version: of the manifest.

        Raises:
            ValueError, TypeError, KeyError: a field is missing, of a wrong type, or contradicts another.
        """
        major_minor = line.get("device")
        entry = cls(
            path=_decode(line["path"]),
            depth=_natural(line["depth"]),
            type=line["type"],
            status=line["status"],
            stored=line["stored"],
            mode=int(line["mode"], 8),
            uid=_natural(line["uid"]),
            gid=_natural(line["gid"]),
            mtime_ns=_integer(line["mtime_ns"]),
            size=_natural(line["size"]),
            nlink=_natural(line["nlink"]),
            inode=_natural(line["inode"]),
            payload=_natural(line["payload"]),
            device=None if major_minor is None else (_natural(major_minor[0]), _natural(major_minor[1])),
            target=_decode(line["target"]) if "target" in line else None,
            xattrs={_decode(name): _decode(value) for name, value in line.get("xattrs", {}).items()},
            sparse=line.get("sparse", False),
            sha256=line.get("sha256"),
            blocks_sha256=line.get("blocks_sha256"),
            error=line.get("error"),
            xattrs_error=line.get("xattrs_error"),
        )
        if "link" in line:
            entry._refer(line["link"], links, version)
        entry.require_consistent(version)
        return entry

    @property
    def is_link_source(self) -> bool:
        """Whether later entries may be hard links to this one."""
        return self.type == "file" and self.stored and self.link is None and self.nlink > 1

    def _refer(self, link: Any, links: LinkTable, version: int) -> None:
        key: int | bytes = _decode(link) if version == 1 else _natural(link)
        found = links.find(key)
        if found is not None:
            self.link_number, self.link = found
        elif isinstance(key, bytes):
            self.link = key
        else:
            raise ValueError(f"a hard link to entry {key}, which is no earlier file with several links")

    def require_consistent(self, version: int = VERSION) -> None:
        """Check that the fields do not contradict each other.

        Raises:
            ValueError: they do.
        """
        member = self.type in MEMBER_TYPES
        has_payload = self.stored and self.type == "file" and self.link is None
        agree = (
            self.type in TYPES
            and self.status in STATUSES
            and isinstance(self.stored, bool)
            and isinstance(self.error, str | None)
            and isinstance(self.xattrs_error, str | None)
            and (version > 1 or self.xattrs_error is None)
            and (not self.stored or member)
            and (
                self.status != "ok"
                or (self.stored == member and self.type != "unknown" and self.error == self.xattrs_error is None)
            )
            and (self.target is not None or self.type != "symlink" or not self.stored)
            and (self.link is None or (self.stored and self.type == "file"))
            and (has_payload or (self.sha256 is None and self.blocks_sha256 is None))
            and (not has_payload or (self.blocks_sha256 is None) == (version == 1))
            and (not has_payload or self.sha256 is not None or (self.sparse and version > 1))
            and (has_payload or (self.payload == 0 and not self.sparse))
            and (not has_payload or self.sparse or self.payload == self.size)
        )
        if not agree:
            raise ValueError(f"fields of {printable(self.path)} contradict each other")


def _encode(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    return b64decode(text, validate=True)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not an integer")
    return value


def _natural(value: object) -> int:
    number = _integer(value)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number
