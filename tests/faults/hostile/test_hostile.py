"""The hostile part's own parts: they see what they must see, and leave nothing behind."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.evidence import facts
from tests.faults.hostile import tries
from tests.faults.hostile.cases import CASES
from tests.faults.hostile.outside import Outside
from tests.faults.hostile.part import Account, attempt_all
from tests.faults.hostile.plan import Node, Plan, draw_plan, every, smaller, with_kinds
from tests.faults.hostile.race import Swapper, make_racetrack
from tests.faults.hostile.stage import FILE_SYSTEMS
from tests.faults.hostile.tries import Result, Task
from tests.faults.hostile.writer import NAMES
from tests.faults.tally import Tally
from tests.faults.workers import Worker
from tools.waiting import eventually

ALL_CASES = [Task(case.name, tries.try_case, ("tmpfs", number)) for number, case in enumerate(CASES)]
RACE = [Task("race", tries.try_race, ("tmpfs", 10_000_000))]
"""Ends where somebody loses it; as long as that may take where other programs have the processors."""
GUARDS = [Task("guards", tries.try_volumes, ("guards",))]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs mounts, device nodes and foreign owners")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(tries.prepare) as worker:
        yield worker


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    outside = Outside(tmp_path / "outside", "test")
    yield outside
    outside.close()


def test_the_same_seed_gives_the_same_tree() -> None:
    assert draw_plan(Random(7), FILE_SYSTEMS) == draw_plan(Random(7), FILE_SYSTEMS)


def test_the_first_trees_have_every_kind_of_entry() -> None:
    kinds = frozenset[str]().union(*(draw_plan(Random(seed), FILE_SYSTEMS).kinds for seed in range(200)))
    assert kinds == {
        "file", "directory", "symlink", "link", "foreign", "fifo", "socket", "block", "character", "sparse", "reserved",
        "chain", "tmpfs", "bind", "bound file", "immutable", "append only",
    }  # fmt: skip


def test_whoever_writes_beside_the_engine_is_led_nowhere_by_the_names() -> None:
    plans = [draw_plan(Random(seed), FILE_SYSTEMS) for seed in range(3000)]
    out = [node for plan in plans for node in every(plan.nodes) if node.kind in ("foreign", "bound file")]
    assert {node.kind for node in out} == {"foreign", "bound file"}
    assert not [node for node in out if node.name in NAMES]


def test_shrinking_only_takes_away() -> None:
    plan = draw_plan(Random(3), FILE_SYSTEMS)
    weight = _weight(plan)
    candidates = list(smaller(plan))
    assert candidates
    assert all(_weight(candidate) < weight for candidate in candidates)


def _weight(plan: Plan) -> int:
    return (plan.writer is not None) + plan.snapshot + sum(
        1 + len(node.xattrs) + (node.size if node.kind == "chain" else 0) for node in every(plan.nodes)
    )  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_every_tree_that_hypothesis_finds_has_one_of_the_designed_outcomes(worker: Worker, random: Random) -> None:
    result = worker.submit(tries.try_plan, draw_plan(random, ("tmpfs",))).result()
    assert result.problems == []
    assert "archived exactly" in result.terms


@pytest.mark.parametrize("part", ["guards", "interruptions", "full"])
def test_volumes_that_go_away_or_fill_up_stop_everything(worker: Worker, part: str) -> None:
    assert worker.submit(tries.try_volumes, part).result().problems == []


def test_an_archive_without_a_byte_or_an_attribute_differs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    fd = os.open(tmp_path, os.O_RDONLY)
    was = facts.take(fd)
    os.setxattr(tmp_path / "file", "user.mark", b"1")
    os.utime(tmp_path / "file", ns=(0, 0))
    problems = facts.differences(was, facts.take(fd))
    os.close(fd)
    assert len(problems) == 2
    assert any("xattrs" in problem for problem in problems)
    assert any("mtime_ns 0" in problem for problem in problems)


def test_holes_and_zeros_have_the_same_digest_and_data_has_another(tmp_path: Path) -> None:
    digests = []
    for name, content in (("holes", b""), ("zeros", bytes(300_000)), ("data", bytes(200_000) + b"x")):
        with open(tmp_path / name, "w+b") as file:
            file.write(content)
            file.truncate(300_000)
            file.flush()
            digests.append(facts.digest(file.fileno(), 300_000))
    assert digests[0] == digests[1] != digests[2]


def test_reading_a_canary_is_seen_even_when_no_time_of_access_tells(outside: Outside) -> None:
    assert outside.problems() == []
    os.close(os.open(outside.secret, os.O_PATH))
    assert outside.problems() == []
    fd = os.open(outside.secret, os.O_RDONLY | os.O_NOATIME)
    os.read(fd, 1)
    os.close(fd)
    assert [problem.rpartition(" was ")[2] for problem in outside.problems()] == ["closed", "opened", "read"]
    os.listdir(outside.directory)
    assert any("directory was read" in problem for problem in outside.problems())


@pytest.mark.parametrize("what", ["mode", "owner", "content", "links"])
def test_a_foreign_inode_that_changed_is_seen(outside: Outside, what: str) -> None:
    match what:
        case "mode":
            outside.foreign.chmod(0o600)
        case "owner":
            os.chown(outside.foreign, 1, 1)
        case "content":
            outside.foreign.write_text("changed")
        case _:
            os.link(outside.foreign, outside.root / "link")
    assert any("foreign is" in problem for problem in outside.problems())


def test_whoever_walks_by_path_loses_the_race(tmp_path: Path, outside: Outside) -> None:
    place = tmp_path / "place"
    place.mkdir()
    fd = os.open(place, os.O_RDONLY)
    make_racetrack(fd, outside)
    end = time.monotonic() + 60
    lost = False
    with Swapper(fd) as swapper:
        while not lost and time.monotonic() < end:
            for folder, _, _ in os.walk(place):
                if os.path.basename(folder) == "directory":
                    (Path(folder) / "inside").exists() and (Path(folder) / "inside").read_bytes()
            lost = any(problem.endswith(" was read") for problem in outside.problems())
    os.close(fd)
    assert swapper.exchanges > 0
    assert lost


@pytest.mark.parametrize(
    ("sabotage", "tasks", "said_of_it"),
    [
        ("follows links", RACE, "outside/.* was (read|opened)|is in the archive"),
        ("crosses mounts", ALL_CASES, "mounted"),
        ("forgets extended attributes", ALL_CASES, "extended attributes"),
        ("compares nothing", ALL_CASES, "through its descriptor"),
        ("ignores changes", ALL_CASES, "a file grows"),
        ("trusts every volume", GUARDS, "volume unmounted"),
    ],
)
def test_a_sabotaged_engine_is_noticed(sabotage: str, tasks: list[Task], said_of_it: str) -> None:
    with Worker(partial(tries.prepare, sabotage)) as worker:
        results = [worker.submit(tries.attempt, task).result() for task in tasks]
    assert re.search(said_of_it, " ".join(problem for result in results for problem in result.problems))


def test_a_worker_that_is_killed_leaves_nothing_behind() -> None:
    before = _traces()
    with Worker(tries.prepare) as worker:
        plan = with_kinds(Plan(nodes=(Node("immutable", b"a"), Node("tmpfs", b"b"), Node("bind", b"c"))))
        assert worker.submit(tries.try_plan, plan).result().tried == 1
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            worker.submit(tries.try_tree, 0).result()
    eventually(lambda: not _traces() - before, seconds=20, what="mounts and loop devices are gone")


def _traces() -> set[str]:
    """Mounts that this process sees, and loop devices that hold a file of a worker."""
    mounts = set(Path("/proc/self/mountinfo").read_text().splitlines())
    files = {path: path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    return mounts | {f"{path}: {text}" for path, text in files.items() if "/mnt/" in text}


def test_a_tree_that_ends_its_process_is_a_violation_and_the_rest_is_tried() -> None:
    trees = [Task(f"tree {seed}", tries.try_tree, (seed,)) for seed in range(4)]
    account = Account(Tally())
    attempt_all([trees[0], Task("one that ends", os._exit, (3,)), *trees[1:]], account, 1)
    assert account.tally.tried[tries.TREES] == 4
    assert account.tally.violations == ["one that ends: hung or crashed, and where is said above"]


class InterruptingAccount(Account):
    """Presses Ctrl-C after its first tree."""

    def add(self, result: Result) -> None:
        super().add(result)
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_run_keeps_its_account_and_takes_no_end_for_a_crash() -> None:
    account = InterruptingAccount(Tally())
    # Whoever starts the tests in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            attempt_all([Task(f"tree {seed}", tries.try_tree, (seed,)) for seed in range(100_000)], account, 1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert account.tally.tried[tries.TREES] == 1
    assert not account.tally.violations
