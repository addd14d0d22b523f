"""A directory tree drawn from what `find` says, which every system has, unlike `tree`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["FIND", "draw"]

FIND: Final = r"find . -mindepth 1 -path ./.metrics-storage/\* -prune -o -mindepth 1 -printf '%M\t%U:%G\t%P\t%l\n'"
"""Lists a volume without what is the operator's own."""

_PRIVATE: Final = ".metrics-storage"
_NAME_WIDTH: Final = 66


@dataclass
class _Node:
    mode: str = ""
    owner: str = ""
    target: str = ""
    children: dict[str, _Node] = field(default_factory=dict)


def draw(root: str, listing: str) -> str:
    """The tree below `root`, as the output of FIND lists it: names, modes, owners."""
    top = _Node()
    for line in sorted(listing.splitlines(), key=lambda text: text.split("\t")[2]):
        mode, owner, path, target = line.split("\t")
        node = top
        for part in path.split("/"):
            node = node.children.setdefault(part, _Node())
        node.mode, node.owner, node.target = mode, owner, target
    return "\n".join([f"{root}/", *_branches(top, "")])


def _branches(node: _Node, prefix: str) -> Iterator[str]:
    for number, (name, child) in enumerate(node.children.items(), start=1):
        last = number == len(node.children)
        shown = name + ("/" if child.mode.startswith("d") else "") + (f" -> {child.target}" if child.target else "")
        tree = f"{prefix}{'└── ' if last else '├── '}{shown}"
        note = "  (the operator's own)" if name == _PRIVATE else ""
        yield f"{tree + note:<{_NAME_WIDTH}} {child.mode}  {child.owner}"
        yield from _branches(child, prefix + ("    " if last else "│   "))
