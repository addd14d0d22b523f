"""The library in the hands of a user who is not root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

USER = 12345
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="becoming another user needs root")

_PRELUDE = f"""\
import os, sys
from pathlib import Path
from metrics_storage import storage
from metrics_storage.storage import *
os.setgroups([])
os.setgid({USER})
os.setuid({USER})
base, quarantine = map(Path, sys.argv[1:])
"""


def as_user(home: Path, program: str) -> list[str]:
    """The lines that a program prints, run by the user; rights are dropped after imports that only root may read."""
    command = [sys.executable, "-W", "error", "-c", _PRELUDE + program, f"{home}/base", f"{home}/quarantine"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stderr == ""
    return done.stdout.splitlines()
