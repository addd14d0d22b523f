"""What a run did on its way, judged by its calls: promises whose breach leaves no trace on disk.

P2 nothing is unlinked but in trash (condemned), among temporary and incoming files, or as an empty namespace;
P3 no committed archive is opened for writing, renamed, removed or replaced; P4 nothing outside the two volumes
is changed, and no recursive change of owner or mode reaches the runner's files; what is to be new is made with
O_EXCL or renamed without replacing.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.crash.calls import FLUSHES, OPENS, READS, REMOVALS, RENAMES, Call
from tests.faults.crash.history import History, Violation
from tests.faults.crash.supervisor import Run

_PRIVATE: Final = ".metrics-storage"
_UID: Final = "[0-9a-f-]{36}"
_REMOVABLE: Final = re.compile(
    rf"{re.escape(_PRIVATE)}/(?:trash/{_UID}(?:/.*)?|journal/{_UID}\.json|(?:journal|released)/\.{_UID}\.(?:json|losses)\.tmp|released/{_UID}(?:\.losses)?"
    rf"|incoming/{_UID}\.(?:tar\.gz|manifest\.jsonl)|spares/\d|\.[a-z.]+\.tmp)"
    rf"|{re.escape(_PRIVATE)}\.new[^/]*(?:/\.?[a-z.]+)?|{re.escape(_PRIVATE)}[^/]*/probe(?:/.*)?",
    re.DOTALL,
)
_REPLACEABLE: Final = re.compile(
    rf"{re.escape(_PRIVATE)}[^/]*/(?:journal/{_UID}\.json|released/{_UID}(?:\.losses)?|volume\.json|partner|probe/.*)"
)


def judge_calls(run: Run, history: History, *, noreplace: bool = True) -> list[Violation]:
    """All broken promises of one run; where `noreplace` is false, the volumes cannot rename without replacing."""
    found = [Violation("P4", f"{call} is on no volume") for call in run.foreign]
    for call in run.calls:
        if call.effective and call.name not in READS:
            found += _judge(call, history, noreplace)
    return found


def _judge(call: Call, history: History, noreplace: bool) -> Iterator[Violation]:
    for path in call.paths:
        volume = history.storage if Path(path).is_relative_to(history.storage) else history.quarantine
        relative = os.path.relpath(path, volume)
        archive = volume == history.quarantine and not relative.startswith(_PRIVATE) and "/" in relative
        if call.name in REMOVALS and not _may_go(call, relative):
            yield Violation("P2", f"{call} is not in trash")
        made = (call.name in RENAMES or call.name == "linkat") and path == call.path
        if archive and call.name not in FLUSHES and not made and (call.name not in OPENS or call.writable):
            yield Violation("P3", f"{call} on a committed archive")
        if made and call.replaces and (noreplace or call.inode is not None) and not _REPLACEABLE.fullmatch(relative):
            yield Violation("P3", f"{call} might replace something")
        if (
            call.name in OPENS
            and call.flags & os.O_CREAT
            and not call.flags & os.O_EXCL
            and not relative.endswith("/lock")
        ):
            yield Violation("P3", f"{call} might open what another has put there")


def _may_go(call: Call, relative: str) -> bool:
    # Above a live directory only rmdir, which fails unless it is empty.
    return bool(_REMOVABLE.fullmatch(relative)) or (call.is_directory and "/" not in relative)
