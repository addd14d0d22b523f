"""Unit tests as trials of a mutant, for what no fault from outside can show."""

import subprocess
import sys
import traceback
from typing import Final

import pytest

from tests.faults.crash.supervisor import ROOT
from tests.faults.mutants.mutants import install

PREFIX: Final = "tests/"
"""What the names of such trials begin with: they are pytest's node ids."""

_TIMEOUT: Final = 120.0


def attempt(node: str, mutant: str = "") -> str | None:
    """What pytest says of a test that fails, None where it passes; on the real engine unless a mutant is named.

    Raises:
        RuntimeError: it could not be run.
    """
    command = [sys.executable, "-m", "tests.faults.mutants.unit_trial", node, *([mutant] if mutant else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return f"{node} does not end"
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{node} could not be run: {done.stdout}{done.stderr}")
    if not done.returncode:
        return None
    # On the real engine a failure is a riddle without its own words; of a mutant it is what was expected.
    return f"{node} fails" if mutant else f"{node} fails: {done.stdout}{done.stderr}"


def main() -> int:
    """Run one test on a mutant, or on the real engine where none is named."""
    node, *mutants = sys.argv[1:]
    try:
        for name in mutants:
            install(name)
        return pytest.main(["-q", "-p", "no:cacheprovider", node])
    except Exception:
        # Python's own exit code for this is the one of a test that fails.
        traceback.print_exc()
        return pytest.ExitCode.INTERNAL_ERROR


if __name__ == "__main__":
    sys.exit(main())
