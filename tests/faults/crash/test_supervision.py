"""What the harness rests on: it sees the calls that strace sees, mutants apply, and nothing is left behind."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import images
from tests.faults.change import apply
from tests.faults.crash import attacks, calls, campaign, events, seccomp, stracing
from tests.faults.crash.case import Case
from tests.faults.crash.lives import LIVES
from tests.faults.crash.supervisor import ROOT, Zygote
from tests.faults.mutants import trials
from tests.faults.mutants.mutants import MUTANTS
from tests.faults.tally import bound
from tools.waiting import eventually

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners of files are set, which needs root")


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


@pytest.mark.parametrize(
    "module",
    ["crash.checker", "evidence.against_facts", "crash.ledger", "crash.footprints", "crash.case", "crash.campaign"],
)
def test_who_judges_imports_nothing_of_the_engine(module: str) -> None:
    here = ROOT / "tests" / "faults"
    seen: set[str] = set()
    pending = [module]
    while pending:
        tree = ast.parse((here / f"{pending.pop().replace('.', '/')}.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [f"{getattr(node, 'module', '') or ''}.{alias.name}" for node in imports for alias in node.names]
        assert not [name for name in names if "metrics_storage" in name]
        used = [name.removeprefix("tests.faults.") for name in names if name.startswith("tests.faults.")]
        modules = {part for name in used for part in (name, name.rpartition(".")[0]) if part}
        found = {name for name in modules if (here / f"{name.replace('.', '/')}.py").exists()} - seen
        seen |= found
        pending += found
    assert seen


@root_only
def test_an_undisturbed_quarantine_keeps_every_promise(zygote: Zygote, tmp_path: Path) -> None:
    assert campaign.undisturbed(zygote, tmp_path, "quarantine") == []


@root_only
def test_seccomp_and_strace_see_the_same_calls(zygote: Zygote, tmp_path: Path) -> None:
    kind, found = next(stracing.attempt_all(zygote, tmp_path, every=1))
    assert (kind, found) == ("counts of calls", [])


@root_only
def test_a_call_of_who_dies_before_it_is_looked_at_does_not_count(
    zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path / "late", LIVES["quarantine"])
    case.prepare(zygote)
    look = calls.look

    def look_late(notification: seccomp.Notification) -> calls.Call:
        os.kill(notification.pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{notification.pid}").exists(), seconds=10, what="it is gone")
        return look(notification)

    monkeypatch.setattr(calls, "look", look_late)
    run = case.live(zygote, events.undisturbed)
    assert not run.calls
    assert not run.ended


@root_only
def test_half_a_write_is_written_when_it_is_torn(zygote: Zygote, tmp_path: Path) -> None:
    made = campaign.scout(zygote, tmp_path, "quarantine")
    at = next(number for number, call in enumerate(made) if call.name == "write" and "journal" in call.path)
    case = Case(tmp_path / "torn", LIVES["quarantine"])
    case.prepare(zygote)
    case.live(zygote, events.torn(at))
    (temporary,) = (tmp_path / "torn" / "storage" / ".metrics-storage" / "journal").glob(".*.tmp")
    assert 0 < temporary.stat().st_size < made[at].args[2]


@root_only
def test_the_naive_engine_loses_evidence(tmp_path: Path) -> None:
    with Zygote(double=True) as naive:
        made = campaign.scout(naive, tmp_path, trials.NAIVE_LIFE)
        lost = [
            found.promise == "P1"
            for point in list(campaign.deaths(trials.NAIVE_LIFE, made))[-8:]
            for found in campaign.attempt(point, naive, tmp_path)
        ]
    assert any(lost)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_applies_to_the_engine_as_it_is(name: str) -> None:
    mutant = MUTANTS[name]
    with apply(*mutant.changes):
        assert mutant.by


@pytest.mark.parametrize("name", sorted({trial for mutant in MUTANTS.values() for trial in mutant.by}))
def test_a_trial_of_a_mutant_exists(name: str) -> None:
    life, _, kind = name.rpartition(" ")
    points = kind in ("deaths", "errors", "linking", "full") and (not life or life in LIVES)
    file, _, test = name.partition("::")
    unit = file.startswith("tests/") and f"def {test}(" in (ROOT / file).read_text()
    assert name in ("life", "power") or name in attacks.ATTACKS or points or unit


def test_the_bound_is_that_of_the_rule_of_three() -> None:
    assert "3/300 = 0.01 " in bound(300, 0)
    assert "broken" in bound(300, 1)
    assert "nothing" in bound(0, 0)


@root_only
@pytest.mark.skipif(bool(images.missing_tools()), reason="file systems cannot be made here")
def test_a_proof_that_is_killed_leaves_no_process_mount_or_loop_device() -> None:
    before = _loops()
    command = [sys.executable, "-m", "tests.faults", "--only", "power", "--jobs", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: _loops() - before, seconds=60, what="a loop device in use")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    eventually(lambda: not _loops() - before, seconds=20, what="loop devices freed")
    eventually(
        lambda: not any(Path(f"/proc/{child}").exists() for child in children), seconds=20, what="processes gone"
    )
    assert "/mnt" not in [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]


def _loops() -> set[str]:
    """Loop devices with a file of ours behind them."""
    used = Path("/sys/block").glob("loop*/loop/backing_file")
    return {str(path) for path in used if path.read_text().strip().endswith(("/ext4.img", "/xfs.img"))}
