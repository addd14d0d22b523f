"""Named cases of hostile directories, each with what must become of it, word for word.

Each lives the whole life, to the removal from the trash. Directories too large for that are in `bulk`.
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.evidence.facts import ROOT_KEY, child_key
from tests.faults.hostile.build import Builder
from tests.faults.hostile.field import MUCH, Field, Meanwhile
from tests.faults.hostile.life import Life, Outcome
from tests.faults.hostile.plan import Node

_EXACT: Final = frozenset({"archived exactly"})
_METADATA: Final = _EXACT | {"recorded as metadata"}
_UNCLEAN_FIRST: Final = _EXACT | {"unclean, source kept"}
_REFUSED_FIRST: Final = _EXACT | {"refused, source kept"}

_CAPGET: Final = 125
_CAPSET: Final = 126
_CAP_VERSION: Final = 0x20080522
_CAP_DAC_OVERRIDE: Final = 1
_CAP_DAC_READ_SEARCH: Final = 2
_NONBLOCKING: Final = os.O_WRONLY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Case:
    """A directory, the terms of its outcome, and what the manifest says of its entries."""

    name: str
    nodes: tuple[Node, ...]
    terms: frozenset[str] = _EXACT
    says: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Name of an entry to fields of its line in the manifest of the last archive."""
    meanwhile: Callable[[int], object] | None = None
    reading: int = 1
    restricted: bool = False
    """Take the first attempt without the right to read what modes forbid."""


def run_case(field_: Field, case: Case, seed: int) -> Outcome:
    """Live a case; its outcome has a problem for everything that is not as expected."""

    def build(fd: int, builder: Builder) -> None:
        builder.build(fd, case.nodes)
        if case.restricted:
            os.fchmod(fd, 0o777)

    life = Life(field_, seed, build)
    if case.restricted:
        meanwhile: Meanwhile | None = _Restricted()
    else:
        meanwhile = Meanwhile(case.meanwhile, reading=case.reading) if case.meanwhile else None
    outcome = life.run(meanwhile=meanwhile)
    if outcome.terms != case.terms:
        outcome.problems.append(f"became {sorted(outcome.terms)}, expected {sorted(case.terms)}")
    for name, expected in case.says.items():
        line = outcome.lines.get(child_key(ROOT_KEY, name), {})
        told = {key: line.get(key) for key in expected}
        if told != expected:
            outcome.problems.append(f"the manifest says {told} of {name!r}, expected {expected}")
    return outcome


class _Restricted(Meanwhile):
    """Not something that happens, but a right that is missing."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.done = True

    @contextlib.contextmanager
    def arranged(self) -> Iterator[None]:
        with without_capabilities(_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            yield


@contextlib.contextmanager
def without_capabilities(*numbers: int) -> Iterator[None]:
    """Lay down capabilities of this thread for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = struct.pack("Ii", _CAP_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if libc.syscall(_CAPGET, head, data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    sets = list(struct.unpack("6I", data.raw))
    for number in numbers:
        sets[0] &= ~(1 << number)
    try:
        if libc.syscall(_CAPSET, head, struct.pack("6I", *sets)) != 0:
            raise OSError(ctypes.get_errno(), "capset")
        yield
    finally:
        libc.syscall(_CAPSET, head, data.raw)


def _stored(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": "ok", "stored": True, **more}


def _recorded(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": "ok", "stored": False, **more}


def _link(name: str, target: bytes, coded: str) -> Case:
    return Case(
        f"a symbolic link {name} is stored as a link",
        (Node("symlink", b"link", target=target),),
        says={b"link": _stored("symlink", target=coded)},
    )


def _named(what: str, name: bytes) -> Case:
    inside = (Node("file", name, size=9),)
    nodes = (Node("file", name, size=9), Node("directory", b"with it", children=inside))
    return Case(f"a name with {what} is kept byte for byte", nodes, says={name: _stored("file", size=9)})


def _write(fd: int, name: bytes, data: bytes, offset: int | None = None) -> None:
    opened = os.open(name, _NONBLOCKING, dir_fd=fd)
    try:
        os.pwrite(opened, data, os.fstat(opened).st_size if offset is None else offset)
    finally:
        os.close(opened)


def _rewrite_in_secret(fd: int) -> None:
    was = os.stat(b"large", dir_fd=fd)
    _write(fd, b"large", b"forged", 100)
    os.utime(b"large", ns=(was.st_atime_ns, was.st_mtime_ns), dir_fd=fd)


def _shrink(fd: int) -> None:
    opened = os.open(b"large", _NONBLOCKING, dir_fd=fd)
    os.ftruncate(opened, 1000)
    os.close(opened)


def _replace(fd: int, make: Callable[[int], object]) -> None:
    os.unlink(b"small", dir_fd=fd)
    make(fd)


_LARGE: Final = (Node("file", b"large", size=MUCH + (1 << 20)), Node("file", b"small", size=100))


def _meanwhile(what: str, act: Callable[[int], object], *, reading: int = 1) -> Case:
    return Case(f"a source in which {what} is kept, and archived when it is quiet", _LARGE, _UNCLEAN_FIRST,
                meanwhile=act, reading=reading)  # fmt: skip


def _mounted(kind: str, what: str) -> Case:
    return Case(f"{what} keeps the source until it is unmounted", (Node(kind, b"mount"),), _UNCLEAN_FIRST)


CASES: Final = (
    _link("to /etc/shadow", b"/etc/shadow", "L2V0Yy9zaGFkb3c="),
    _link("to the parent", b"..", "Li4="),
    _link("to nothing", b"nowhere", "bm93aGVyZQ=="),
    Case(
        "symbolic links to the canaries are stored as links",
        (Node("symlink", b"file", target=b"{secret}"), Node("symlink", b"directory", target=b"{directory}")),
        says={b"file": _stored("symlink"), b"directory": _stored("symlink")},
    ),
    Case(
        "symbolic links in a loop are stored as links",
        (Node("symlink", b"a", target=b"b"), Node("symlink", b"b", target=b"a"), Node("symlink", b"c", target=b"c")),
        says={b"a": _stored("symlink", target="Yg=="), b"c": _stored("symlink", target="Yw==")},
    ),
    Case(
        "a hard link to a foreign inode is a file, and the inode stays as it was",
        (Node("foreign", b"foreign"),),
        says={b"foreign": _stored("file", nlink=2, uid=4242, gid=4243, mode="0640", size=40)},
    ),
    Case("a FIFO is stored and never opened", (Node("fifo", b"pipe"),), says={b"pipe": _stored("fifo")}),
    Case("a socket is recorded", (Node("socket", b"socket"),), _METADATA, {b"socket": _recorded("socket")}),
    Case(
        "device nodes are recorded and never opened",
        (Node("character", b"watchdog", size=0xA82), Node("block", b"disk", size=0x763)),
        _METADATA,
        {b"watchdog": _recorded("character", device=[10, 130]), b"disk": _recorded("block", device=[7, 99])},
    ),
    _named("a newline", b"new\nline"),
    _named("escape sequences", b"\x1b[31mred\x1b]0;title\x07"),
    _named("invalid UTF-8", b"\xff\xfe\x80"),
    _named("255 bytes", b"\xff" * 255),
    Case(
        "a path of 25,000 bytes is archived",
        (Node("chain", b"n" * 250, size=100, children=(Node("file", b"leaf", size=5),)),),
    ),
    Case(
        "setuid, setgid and sticky bits are kept in the archive",
        (Node("file", b"suid", mode=0o4755, size=3), Node("directory", b"sgid", mode=0o3777)),
        says={b"suid": _stored("file", mode="4755"), b"sgid": _stored("directory", mode="3777")},
    ),
    Case(
        "extended attributes, capabilities and access control lists are kept",
        (
            Node(
                "file", b"file", size=3, xattrs=((b"user.a=b%\n", b"\0\xff"), (b"security.capability", b"capability"))
            ),
            Node(
                "directory",
                b"dir",
                xattrs=((b"system.posix_acl_access", b"acl"), (b"system.posix_acl_default", b"acl")),
            ),
        ),
        says={b"file": _stored("file")},
    ),
    Case(
        "an immutable file is archived, and keeps its directory in the trash until chattr -i",
        (Node("immutable", b"stubborn", size=10), Node("file", b"other")),
        _REFUSED_FIRST,
        {b"stubborn": _stored("file", size=10)},
    ),
    Case("an append-only file does the same", (Node("append only", b"log", size=10),), _REFUSED_FIRST),
    _mounted("tmpfs", "a mounted tmpfs"),
    _mounted("bind", "a directory of the same file system mounted inside"),
    _mounted("bound file", "a file mounted over a file"),
    Case(
        "empty and forbidden directories are archived by whoever may read them",
        (
            Node("directory", b"empty", mode=0o755),
            Node("directory", b"forbidden", mode=0, children=(Node("file", b"inside", mode=0, size=7),)),
        ),
        says={b"empty": _stored("directory", mode="0755"), b"forbidden": _stored("directory", mode="0000")},
    ),
    Case(
        "what may not be read keeps the source until it may be",
        (
            Node("directory", b"forbidden", mode=0, children=(Node("file", b"inside", size=7),)),
            Node("file", b"file", mode=0, size=7),
        ),
        _UNCLEAN_FIRST,
        restricted=True,
    ),
    Case("an empty directory is archived", ()),
    Case(
        "a hole beside space that was reserved and never written is archived at once",
        (Node("reserved", b"ring", size=8 << 20, extents=((0, 4096),)),),
        says={b"ring": _stored("file", size=8 << 20)},
    ),
    Case(
        "times at both ends of what a file system keeps are archived",
        tuple(
            Node("file", b"%d" % number, mtime_ns=time)
            for number, time in enumerate((10**27, -(10**27) - 1, 2**63 * 10**9 - 1, -(2**63) * 10**9))
        ),
    ),
    _meanwhile("a file grows", lambda fd: _write(fd, b"large", b"more")),
    _meanwhile("a file shrinks", _shrink),
    _meanwhile("a file is removed while it is read", lambda fd: os.unlink(b"large", dir_fd=fd)),
    _meanwhile("a file vanishes before it is read", lambda fd: os.unlink(b"small", dir_fd=fd)),
    _meanwhile("a file is rewritten and its times are set back", _rewrite_in_secret),
    _meanwhile("a file becomes a FIFO", lambda fd: _replace(fd, lambda fd: os.mkfifo(b"small", dir_fd=fd))),
    _meanwhile(
        "a file becomes a link", lambda fd: _replace(fd, lambda fd: os.symlink("/etc/shadow", b"small", dir_fd=fd))
    ),
    _meanwhile("a file appears", lambda fd: os.mkfifo(b"new", dir_fd=fd)),
    _meanwhile("a writer goes on through its descriptor when all is archived", _rewrite_in_secret, reading=2),
)
