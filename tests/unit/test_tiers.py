"""Tiers of tests that run at the same time: who fails is told, and nobody is left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.waiting import eventually

ROOT = Path(__file__).parents[2]
MAKEFILE = """
test-good test-fine:
\t@echo 3 passed
test-bad:
\t@echo the reason; exit 3
test-long:
\t@{python} -c 'import os, pathlib, time; pathlib.Path("pid").write_text(str(os.getpid())); time.sleep(600)'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE.format(python=sys.executable))
    return tmp_path


def start(folder: Path, *tiers: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests", *tiers],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_all_that_pass_pass(folder: Path) -> None:
    done = start(folder, "good", "fine")
    said, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert said.count("passed: 3 passed") == 2


def test_one_that_fails_fails_all_and_its_log_is_shown(folder: Path) -> None:
    done = start(folder, "bad", "good")
    said, _ = done.communicate(timeout=60)
    assert done.returncode == 1
    assert "==> bad failed; its log:\nthe reason\n" in said
    assert "passed: 3 passed" in said
    assert said.endswith("==> failed: bad\n")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: signal.Signals(number).name
)
def test_whoever_is_interrupted_leaves_no_process(folder: Path, number: signal.Signals) -> None:
    done = start(folder, "long")
    pid = folder / "pid"
    eventually(lambda: pid.exists() and pid.read_text(), seconds=30, what="the tier runs")
    done.send_signal(number)
    done.communicate(timeout=30)
    assert done.returncode == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    process = Path("/proc") / pid.read_text()
    eventually(lambda: not process.exists(), seconds=30, what="the process of the tier has ended")
