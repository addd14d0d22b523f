"""What a hostile tree consists of, as a value, drawn from a source of randomness that can be repeated.

The same seed gives the same plan; a `random.Random` that hypothesis controls gives plans that shrink. How a plan
becomes a tree is `build`'s business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

_NAMES: Final = (
    b"metrics.json", b"new\nline", b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\xff\xfe\x80", b"a" * 255,
    b"\xc3\xa9" * 127, b"\xf0\x9f" * 127, b"-rf", b"--checkpoint-action=exec=sh", b" ", b"...", b"..data", b"~",
    b"runner-0", b"runner-0~1", b".metrics-storage", b"e\xcc\x81", b"\xc3\xa9", b"%41=%3D", b"a\\b\"c'd", b"\r",
    b"\x7f\x01", b"*?[a]", b"@LongLink", b".\xe2\x88\x95", b"NUL", b"\x80" * 100,
)  # fmt: skip
_TARGETS: Final = (
    b"/etc/shadow", b"..", b"../..", b".", b"/", b"nowhere", b"loop-a", b"loop-b", b"/proc/self/fd/0", b"x" * 100,
    b"y/" * 2047, b"\xff\n\x1b[2J", b"/dev/zero", b"{secret}", b"{directory}", b"{directory}/inside",
    b"\xc3\xa9" * 60,
)  # fmt: skip
_SIZES: Final = (0, 1, 100, 511, 512, 513, 4095, 4096, 4097, 20_000)
_IDS: Final = (0, 1000, 65_534, 2_097_151, 2_097_152, 2**31, 2**32 - 2)
_TIMES: Final = (
    0, 1, 1_600_000_000_123_456_789, -1, -1_000_000_001, 2**33 * 10**9, 8**11 * 10**9 + 7, 999_999_999,
    10**27, -(10**27) + 1, 2**63 * 10**9 - 1, -(2**63) * 10**9,
)  # fmt: skip
_KINDS: Final = {
    "file": 30, "directory": 16, "symlink": 14, "link": 6, "foreign": 4, "fifo": 5, "socket": 4, "block": 3,
    "character": 4, "sparse": 5, "reserved": 3, "chain": 2, "tmpfs": 1, "bind": 1, "bound file": 1, "immutable": 2,
    "append only": 1,
}  # fmt: skip
_XATTRS: Final = (
    (b"user.mark", b"1"), (b"user.a=b%3D", b"x=y\n"), (b"user.\xff\n", b"\0\xff"), (b"user.empty", b""),
    (b"user.long", b"v" * 1500), (b"trusted.mark", b"root's"), (b"security.capability", b"capability"),
    (b"system.posix_acl_access", b"acl"), (b"system.posix_acl_default", b"acl"), (b"user." + b"n" * 250, b"max"),
)  # fmt: skip
HINDRANCES: Final = frozenset({"tmpfs", "bind", "bound file", "immutable", "append only"})


@dataclass(frozen=True, slots=True)
class Node:
    """One entry; `size` is of content, levels of a chain, or a device number."""

    kind: str
    name: bytes
    mode: int = 0o644
    owner: tuple[int, int] = (1000, 1000)
    mtime_ns: int = 1_600_000_000 * 10**9
    size: int = 0
    target: bytes = b""
    extents: tuple[tuple[int, int], ...] = ()
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    children: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A tree, and what goes on while it is archived."""

    nodes: tuple[Node, ...] = ()
    file_system: str = "tmpfs"
    writer: int | None = None
    """Seed of a process that writes into the tree while it is archived; None for peace."""
    snapshot: bool = False
    reason: str = "pre-job-metrics.json is not JSON"
    kinds: frozenset[str] = field(default=frozenset(), compare=False)


def draw_plan(random: Random, file_systems: tuple[str, ...]) -> Plan:
    """A plan; most are small, a few have thousands of entries or levels."""
    budget = [random.choice((1, 3, 6, 10, 16, 24)) if random.randrange(80) else 300]
    nodes = _draw_nodes(random, budget, 0)
    reason = random.choice(("not JSON", "new\nline \x1b[31m", "\u202eevil \U0001f600", "r" * 1000))
    return with_kinds(
        Plan(
            nodes=nodes,
            file_system=random.choice(file_systems),
            writer=random.randrange(2**32) if random.randrange(5) == 0 else None,
            snapshot=random.randrange(8) == 0,
            reason=reason,
        )
    )


def with_kinds(plan: Plan) -> Plan:
    """The plan that knows which kinds of entries it has."""
    return replace(plan, kinds=frozenset(node.kind for node in every(plan.nodes)))


def every(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """All nodes, at any depth."""
    for node in nodes:
        yield node
        yield from every(node.children)


def smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, the largest cuts first."""
    if plan.writer is not None:
        yield replace(plan, writer=None)
    if plan.snapshot:
        yield replace(plan, snapshot=False)
    for nodes in _smaller(plan.nodes):
        yield with_kinds(replace(plan, nodes=nodes))


def _smaller(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    for index, node in enumerate(nodes):
        before, after = nodes[:index], nodes[index + 1 :]
        yield before + after
        for children in _smaller(node.children):
            yield (*before, replace(node, children=children), *after)
        if node.xattrs:
            yield (*before, replace(node, xattrs=()), *after)
        if node.kind == "chain" and node.size > 1:
            yield (*before, replace(node, size=node.size // 2), *after)


def _draw_nodes(random: Random, budget: list[int], depth: int) -> tuple[Node, ...]:
    nodes: dict[bytes, Node] = {}
    for _ in range(random.choice((0, 1, 2, 3, 5, 8, 13)) if depth else budget[0]):
        if budget[0] <= 0:
            break
        budget[0] -= 1
        node = _draw_node(random, budget, depth)
        nodes.setdefault(node.name, node)
    return tuple(nodes.values())


def _draw_node(random: Random, budget: list[int], depth: int) -> Node:
    kind = random.choices(list(_KINDS), list(_KINDS.values()))[0]
    name = random.choice(_NAMES) if random.randrange(3) else b"%d" % random.randrange(10_000)
    if random.randrange(12) == 0:
        name = bytes(random.choice((1, 10, 27, 32, 37, 46, 92, 200, 255, 97)) for _ in range(random.randrange(1, 255)))
        name = b"_" if name in (b".", b"..") else name
    extents: tuple[tuple[int, int], ...] = ()
    size = random.choice(_SIZES) if random.randrange(40) else 700_000
    children: tuple[Node, ...] = ()
    if kind in ("directory", "chain", "tmpfs", "bind"):
        children = _draw_nodes(random, budget, depth + 1) if kind in ("directory", "chain") else ()
    if kind == "chain":
        size = random.choice((3, 12, 30, 100)) if random.randrange(40) else 1_500
        name = random.choice((b"d", b"deep", b"n" * 200, b"\xff" * 255)) if size <= 100 else b"d"
    elif kind in ("sparse", "reserved"):
        size = random.choice((4096, 100_000, 2**20, 2**32 + 5, 2**40))
        starts = sorted(random.randrange(0, size) // 4096 * 4096 for _ in range(random.choice((0, 1, 2, 7))))
        extents = tuple((start, random.choice((1, 600, 4096))) for start in dict.fromkeys(starts))
    elif kind in ("block", "character"):
        size = random.choice((0x103, 0x105, 0x500, 0xA82, 0x763, 0xFFFFF))
    if kind == "symlink" and random.randrange(6) == 0:
        name = random.choice((b"loop-a", b"loop-b"))
    elif kind in ("foreign", "bound file") and name == _NAMES[0]:
        # Whoever writes beside the engine writes into files of this name, and what these lead to is somebody else's.
        name = b"foreign"
    return Node(
        kind=kind,
        name=name,
        mode=random.choice((0o644, 0o600, 0, 0o4755, 0o2770, 0o1777, 0o7777, 0o111)),
        owner=(random.choice(_IDS), random.choice(_IDS)),
        mtime_ns=random.choice(_TIMES),
        size=size,
        target=random.choice(_TARGETS),
        extents=extents,
        xattrs=tuple(random.sample(_XATTRS, random.randrange(1, 4))) if random.randrange(4) == 0 else (),
        children=children,
    )
