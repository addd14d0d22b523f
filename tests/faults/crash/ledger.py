"""Accounts of what was done but is not yet durable, on a file system that gives nothing for free.

Real file systems make more durable than they are asked to (an fsync on ext4 or XFS takes along what happened
before it), and so hide a missing fsync until the day they don't. This ledger believes only what POSIX promises:
content after the file's own fsync, names after the fsync of their directory, everything after syncfs. It goes on
over deaths: what the dead left unflushed is still not durable when the next process believes it.

Two rules: nothing but the entry itself may be pending when a journal entry is renamed into its place, and nothing
at all when a step is said to be done. Exempt is what needs not last: see `_needs_not_last`.
"""

import os
from pathlib import Path
from typing import Any, Final

from tests.faults.crash.calls import FLUSHES, OPENS, REMOVALS, RENAMES, WRITES, Call, Inode
from tests.faults.crash.history import Violation
from tests.faults.crash.supervisor import Run

_PRIVATE: Final = ".metrics-storage"
_UNFINISHED: Final = ".metrics-storage.new"
_PROMISE: Final = "durability"
_ON_ARCHIVES: Final = frozenset({"snapshot", "archive", "remove", "release", "forget"})
_CONTENT: Final = frozenset({*WRITES, "ftruncate"})
_METADATA: Final = frozenset({"fchmod", "fchown", "chmod", "chown", "fchmodat", "fchownat", "ftruncate", "fallocate"})


class Ledger:
    """What is pending, by inode; feed it every run of a case in order.

    The two volumes count as file systems of their own, as they are in earnest.
    """

    def __init__(self, storage: Path, quarantine: Path) -> None:
        self._storage = f"{storage}/"
        self._quarantine = f"{quarantine}/"
        self._step = ""
        self._names: dict[Inode, Call] = {}
        """Directories whose entries changed, with the latest change."""
        self._content: dict[Inode, Call] = {}
        """Files and directories of which content or owner changed."""

    def judge(self, run: Run) -> list[Violation]:
        """Enter the calls of a run, and say what was promised too early."""
        found: list[Violation] = []
        said = list(run.said)
        for number, call in enumerate(run.calls):
            while said and said[0][0] <= number:
                found += self._hear(said.pop(0)[1])
            # An error that was injected did not happen; one that the kernel gave is foreseen in `effective`.
            if call.done and call.effective and call.changes:
                found += self._enter(call)
        if not run.died:
            for _, message in said:
                found += self._hear(message)
        return found

    def _hear(self, message: dict[str, Any]) -> list[Violation]:
        self._step = message.get("step", self._step)
        if message.get("state") != "done" or message["step"] == "open":
            return []
        return [Violation(_PROMISE, f"{message['step']} is said to be done, but {what}") for what in self._pending()]

    def _pending(self, but: Inode | None = None) -> list[str]:
        names = [call for inode, call in self._names.items() if inode != but]
        # Archives concern only the steps that rely on them.
        exempt = () if self._step in _ON_ARCHIVES else (self._quarantine,)
        pending = [call for call in (*names, *self._content.values()) if not _is_aside(call.path)]
        return [f"{call} is not durable" for call in pending if not call.path.startswith(exempt)]

    def _enter(self, call: Call) -> list[Violation]:
        if call.name in FLUSHES:
            self._flush(call)
            return []
        found = self._judge_rename(call) if call.name in RENAMES else []
        if call.inode is not None and (call.name in RENAMES or call.name in REMOVALS):
            # What had this name is no more.
            self._names.pop(call.inode, None)
            self._content.pop(call.inode, None)
        if _needs_not_last(call):
            return found
        if call.name in WRITES or call.name in _METADATA:
            if call.inode is not None:
                self._content[call.inode] = call
        else:
            self._names |= {parent: call for parent in call.parents if parent is not None}
        return found

    def _judge_rename(self, call: Call) -> list[Violation]:
        inside = call.paths[0] + "/"
        found = [
            Violation(_PROMISE, f"{call}, but {pending} is not durable")
            for inode, pending in (*self._content.items(), *self._names.items())
            if pending.path.startswith(inside) or (inode == call.source and pending.name in _CONTENT)
        ]
        if os.path.basename(os.path.dirname(call.path)) == "journal":
            found += [Violation(_PROMISE, f"{call}, but {what}") for what in self._pending(but=call.parents[-1])]
        return found

    def _flush(self, call: Call) -> None:
        if call.inode is None:
            return
        for pending in (self._names, self._content):
            if call.name == "syncfs":
                for inode in [
                    inode for inode, made in pending.items() if self._is_on_storage(made) == self._is_on_storage(call)
                ]:
                    del pending[inode]
            else:
                pending.pop(call.inode, None)

    def _is_on_storage(self, call: Call) -> bool:
        return f"{call.path}/".startswith(self._storage)


def _is_aside(path: str) -> bool:
    """Whether this is not in use until it is renamed."""
    parts = path.split("/")
    holder = {"incoming", "spares"} & set(parts[:-1])
    return bool(holder) or parts[-1].endswith(".tmp") or any(part.startswith(_UNFINISHED) for part in parts)


def _needs_not_last(call: Call) -> bool:
    """Losing these loses nothing: the lock, discards, a removed empty namespace, what is being removed."""
    parts = call.path.split("/")
    in_trash = "trash" in parts and len(parts) > parts.index("trash") + 2
    discarded = call.name in REMOVALS and (
        _PRIVATE not in parts or "released" in parts or in_trash or _is_aside(call.path)
    )
    # The bits of a directory of ours are set again by whoever finds it; only its owner is not.
    bits = call.is_directory and call.name in ("fchmod", "chmod", "fchmodat")
    return parts[-1] == "lock" or discarded or bits or (call.name in OPENS and not call.creates)
