"""The ledger's own tests: what is promised before it is durable is seen, and nothing else is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.crash.calls import Call
from tests.faults.crash.ledger import Ledger
from tests.faults.crash.supervisor import Run

STORAGE, QUARANTINE = Path("/s"), Path("/q")
JOURNAL = "/s/.metrics-storage/journal"
ROOT, ENTRIES, FROZEN, ENTRY, DIRECTORY = ((1, number) for number in range(5))


def write() -> Call:
    return Call("write", (f"{JOURNAL}/.u.json.tmp",), (), inode=ENTRY)


def fsync(path: str, inode: tuple[int, int]) -> Call:
    return Call("fsync", (path,), (), inode=inode)


def commit() -> Call:
    paths = (f"{JOURNAL}/.u.json.tmp", f"{JOURNAL}/u.json")
    return Call("renameat", paths, (), source=ENTRY, parents=(ENTRIES, ENTRIES))


def freeze() -> Call:
    paths = ("/s/runners/r_u", "/s/.metrics-storage/frozen/u")
    return Call("renameat2", paths, (), flags=1, source=DIRECTORY, parents=(ROOT, FROZEN))


SOUND = [
    freeze(), fsync("/s/.metrics-storage/frozen", FROZEN), fsync("/s/runners", ROOT),
    write(), fsync(f"{JOURNAL}/.u.json.tmp", ENTRY), commit(), fsync(JOURNAL, ENTRIES),
]  # fmt: skip
DONE: dict[str, Any] = {"step": "archive", "state": "done"}


def judged(*calls: Call, ledger: Ledger | None = None, said: bool = True) -> list[str]:
    run = Run(calls=list(calls), said=[(len(calls), DONE)] if said else [], ended=said, died=not said)
    return [str(violation) for violation in (ledger or Ledger(STORAGE, QUARANTINE)).judge(run)]


def test_the_sound_order_has_nothing_against_it() -> None:
    assert judged(*SOUND) == []


@pytest.mark.parametrize("missing", [1, 2, 4, 6], ids=["target", "source", "content", "entry"])
def test_every_missing_fsync_is_seen(missing: int) -> None:
    assert judged(*SOUND[:missing], *SOUND[missing + 1 :])


def test_an_fsync_that_failed_is_none() -> None:
    failed = fsync("/s/runners", ROOT)
    failed.done = False
    assert judged(*SOUND[:2], failed, *SOUND[3:])


def test_what_the_dead_left_is_not_durable_for_the_next() -> None:
    ledger = Ledger(STORAGE, QUARANTINE)
    assert judged(freeze(), ledger=ledger, said=False) == []
    assert judged(*SOUND[3:], ledger=ledger)


@pytest.mark.parametrize(
    ("path", "holds"),
    [pytest.param("/s", True, id="the same volume"), pytest.param("/q", False, id="the other volume")],
)
def test_syncfs_makes_its_own_volume_durable(path: str, holds: bool) -> None:
    ledger = Ledger(STORAGE, QUARANTINE)
    judged(freeze(), ledger=ledger, said=False)
    synced = Call("syncfs", (path,), (), inode=(1, 99))
    assert (judged(synced, *SOUND[3:], ledger=ledger) == []) is holds


@pytest.mark.parametrize(
    "exempt",
    [
        pytest.param(lambda: Call("pwrite64", ("/s/.metrics-storage/lock",), (), inode=DIRECTORY), id="lock"),
        pytest.param(
            lambda: Call("unlinkat", ("/q/.metrics-storage/incoming/u.tar.gz",), (), inode=ENTRY, parents=(FROZEN,)),
            id="discard",
        ),
        pytest.param(
            lambda: Call("unlinkat", ("/s/.metrics-storage/trash/u/a",), (), inode=ENTRY, parents=(FROZEN,)),
            id="removal",
        ),
    ],
)
def test_what_needs_not_last_may_be_pending(exempt: Callable[[], Call]) -> None:
    assert judged(exempt()) == []
