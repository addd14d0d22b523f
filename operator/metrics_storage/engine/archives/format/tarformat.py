"""What stands in a tar archive before the content of a member: a ustar header, and PAX records before it.

Written and read by different code on purpose: written here byte by byte, read with the standard library's
decoder of headers, so that a mistake in one doesn't hide behind the same mistake in the other. Lengths that a
header claims are bounded before anything is read. Content and the manifest are none of its business.
"""

import re
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from metrics_storage.engine.archives.format.entry import Entry

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK
"""An archive ends with two empty blocks and is filled up to a multiple of this, as tar does."""

_PAX_MAX: Final = 4 * 1024 * 1024
"""Longest PAX header that is read, in bytes: 1 MiB of extended attributes and two paths fit well."""

_FLAGS: Final = {"file": b"0", "symlink": b"2", "directory": b"5", "fifo": b"6"}
_HARD_LINK: Final = b"1"
_PAX: Final = b"x"
_XATTR: Final = b"SCHILY.xattr."
_SPARSE_DIRECTORY: Final = b"GNUSparseFile.%d"
"""Beside a file with holes, its directory for readers that know nothing of these, as GNU tar names it."""


@dataclass(slots=True)
class Member:
    """What a tar archive says of one member; `content` is the number of bytes that follow the header."""

    path: bytes
    flag: bytes
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    content: int = 0
    link: bytes = b""
    sparse_size: int | None = None
    """Size in bytes of a file with holes when extracted."""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry) -> "Member":
        """The member that stores an entry."""
        return cls(
            path=entry.path,
            flag=_HARD_LINK if entry.link is not None else _FLAGS[entry.type],
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime_ns=entry.mtime_ns,
            content=entry.payload,
            link=entry.link or entry.target or b"",
            sparse_size=entry.size if entry.sparse else None,
            xattrs=entry.xattrs,
        )


def encode(member: Member, number: int = 0) -> bytes:
    """The header blocks of a member.

    With an unpredictable `number`, the same for all members, no name for readers without sparse files is another's.
    """
    path = member.path + b"/" if member.flag == _FLAGS["directory"] else member.path
    records: dict[bytes, bytes] = {}
    if member.sparse_size is not None:
        directory, slash, name = path.rpartition(b"/")
        # Before the true name: readers take the last one.
        path = _text(records, b"path", directory + slash + _SPARSE_DIRECTORY % number + b"/" + name)
        records[b"GNU.sparse.major"] = b"1"
        records[b"GNU.sparse.minor"] = b"0"
        records[b"GNU.sparse.name"] = member.path
        records[b"GNU.sparse.realsize"] = b"%d" % member.sparse_size
    else:
        path = _text(records, b"path", path)
    for name, value in member.xattrs.items():
        records[_XATTR + name.replace(b"%", b"%25").replace(b"=", b"%3D")] = value
    block = _ustar(
        flag=member.flag,
        path=path,
        link=_text(records, b"linkpath", member.link),
        mode=member.mode,
        uid=_number(records, b"uid", member.uid, 7),
        gid=_number(records, b"gid", member.gid, 7),
        size=_number(records, b"size", member.content, 11),
        seconds=_time(records, member.mtime_ns),
    )
    if not records:
        return block
    pax = b"".join(_record(name, value) for name, value in records.items())
    if not _is_utf8(pax):
        pax = _record(b"hdrcharset", b"BINARY") + pax
    head = _ustar(flag=_PAX, path=b"././@PaxHeader", size=len(pax))
    return head + pax + bytes(-len(pax) % BLOCK) + block


def decode(read: Callable[[int], bytes]) -> Member | None:
    """Read the header blocks of the next member; None where two empty blocks end the archive.

    `read` gives exactly the asked number of bytes. Only what `encode` makes use of is accepted.

    Raises:
        ValueError: anything else.
    """
    block = read(BLOCK)
    if not any(block):
        if any(read(BLOCK)):
            raise ValueError("an empty block is not followed by another")
        return None
    records: dict[bytes, bytes] = {}
    info = _decode_block(block)
    if info.type == _PAX:
        if not 0 < info.size <= _PAX_MAX:
            raise ValueError(f"a PAX header of {info.size} bytes")
        records = _decode_records(read(info.size))
        if any(read(-info.size % BLOCK)):
            raise ValueError("a PAX header is not filled up with zeros")
        info = _decode_block(read(BLOCK))
    member = Member(
        path=_latin(info.name),
        flag=info.type,
        mode=info.mode,
        uid=info.uid,
        gid=info.gid,
        mtime_ns=int(info.mtime) * 10**9,
        content=info.size,
        link=_latin(info.linkname),
    )
    for name, value in records.items():
        _apply(member, name, value)
    if member.flag == _FLAGS["directory"]:
        member.path = member.path.removesuffix(b"/")
    return member


def _apply(member: Member, name: bytes, value: bytes) -> None:
    """Let a PAX record say what the ustar header could not."""
    if name.startswith(_XATTR):
        attribute = name.removeprefix(_XATTR).replace(b"%3D", b"=").replace(b"%25", b"%")
        member.xattrs[attribute] = value
    elif name in (b"path", b"GNU.sparse.name"):
        member.path = value
    elif name == b"linkpath":
        member.link = value
    elif name == b"uid":
        member.uid = _decimal(value)
    elif name == b"gid":
        member.gid = _decimal(value)
    elif name == b"size":
        member.content = _decimal(value)
    elif name == b"GNU.sparse.realsize":
        member.sparse_size = _decimal(value)
    elif name == b"mtime":
        member.mtime_ns = _decode_time(value)
    elif (name, value) not in _CONSTANT:
        raise ValueError(f"a PAX record {name[:64]!r} that is never written")


_CONSTANT: Final = frozenset({(b"hdrcharset", b"BINARY"), (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")})
_USTAR: Final = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_RECORD_LENGTH: Final = re.compile(rb"[1-9][0-9]{0,7} ")
_DECIMAL: Final = re.compile(rb"0|[1-9][0-9]{0,18}")
_TIME: Final = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]{1,9}))?")


def _ustar(
    *,
    flag: bytes,
    path: bytes,
    link: bytes = b"",
    mode: int = 0o600,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    seconds: int = 0,
) -> bytes:
    fields = (
        path,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % seconds,
        b" " * 8,
        flag,
        link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"",
    )
    block = _USTAR.pack(*fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _text(records: dict[bytes, bytes], name: bytes, value: bytes) -> bytes:
    """A path for the ustar header, with a PAX record where that cannot hold it."""
    if len(value) > 100 or not value.isascii():
        records[name] = value
    return value[:100]


def _number(records: dict[bytes, bytes], name: bytes, value: int, digits: int) -> int:
    """A number for the ustar header, with a PAX record where that has too few octal digits."""
    if value < 8**digits:
        return value
    records[name] = b"%d" % value
    return 0


def _time(records: dict[bytes, bytes], ns: int) -> int:
    """Seconds for the ustar header, with a PAX record for fractions and for times that it cannot hold."""
    seconds, fraction = divmod(abs(ns), 10**9)
    if fraction or ns < 0 or seconds >= 8**11:
        text = b"%d.%09d" % (seconds, fraction)
        records[b"mtime"] = (b"-" if ns < 0 else b"") + text.rstrip(b"0").rstrip(b".")
    return seconds if ns >= 0 and seconds < 8**11 else 0


def _record(name: bytes, value: bytes) -> bytes:
    """A PAX record, whose length counts the digits of the length itself."""
    rest = b" " + name + b"=" + value + b"\n"
    length = len(rest)
    while len(rest) + len(str(length)) != length:
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_block(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "iso-8859-1", "strict")
    except tarfile.HeaderError as exc:
        raise ValueError(f"not a tar header: {exc}") from exc
    if block[257:265] != b"ustar\x0000" or block[345:] != bytes(167):
        raise ValueError("not a plain ustar header")
    return info


def _decode_records(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        length = _RECORD_LENGTH.match(data, position)
        if length is None:
            raise ValueError(f"no PAX record at byte {position} of {len(data)}")
        end = position + int(length.group())
        name, equals, value = data[length.end() : end].partition(b"=")
        if end > len(data) or not name or not equals or not value.endswith(b"\n") or name in records:
            raise ValueError(f"a malformed or repeated PAX record {name[:64]!r}")
        records[name] = value[:-1]
        position = end
    return records


def _decode_time(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not a time")
    sign, seconds, fraction = match.groups()
    ns = int(seconds) * 10**9 + int((fraction or b"").ljust(9, b"0"))
    return -ns if sign else ns


def _decimal(text: bytes) -> int:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not a number")
    return int(text)


def _latin(text: str) -> bytes:
    return text.encode("iso-8859-1")
