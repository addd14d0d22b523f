"""The capabilities of the shipped Pod are those that a directory's life needs: with one less it fails."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.unit.rendering import pod_spec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")

_CAPABILITIES: Final = tuple(pod_spec("base")["containers"][0]["securityContext"]["capabilities"]["add"])

_LIFE: Final = """\
import os, stat, subprocess, sys
from pathlib import Path
from metrics_storage.engine.archives.local_vault import LocalVault
from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.model.identity import Identity
from metrics_storage.model.spec import StorageSpec

root = Path(sys.argv[1])
storage = Volume(root / "storage", Role.STORAGE, initialise=True)
storage.lock()
engine = StorageEngine(storage, LocalVault(Volume(root / "quarantine", Role.QUARANTINE, initialise=True)))
identity = Identity("runners", "runner-0", "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")
engine.ensure(identity, StorageSpec(owner="1000:1000", mode="2770"))
live = root / "storage" / "runners" / identity.directory_name
assert stat.S_IMODE(live.stat().st_mode) == 0o2770, oct(live.stat().st_mode)
print("made", flush=True)
sys.stdin.readline()
engine.latch(identity, "not JSON", "2026-01-01T00:00:00Z")
engine.archive(identity)
engine.remove(identity)
print("gone", flush=True)
"""
"""A life of a directory; between "made" and "gone" its runner has its turn."""

_CONTENT: Final = """\
import os, sys
os.chdir(sys.argv[1])
os.setgroups([])
os.setgid(1000)
os.setuid(1000)
os.mkdir("private", 0o700)
os.mkdir("sticky")
for name in ("private/log", "sticky/log", "log"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
os.chmod("sticky", 0o1700)
"""


def live(root: Path, capabilities: tuple[str, ...]) -> tuple[str, str]:
    """Live that life with these capabilities and no other; what it said, and its last error."""
    for name in ("storage", "quarantine"):
        (root / name).mkdir(parents=True)
    bounds = "-all" + "".join(f",+{name.lower()}" for name in capabilities)
    command = ["setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--no-new-privs", "--clear-groups"]
    with subprocess.Popen(
        [*command, sys.executable, "-c", _LIFE, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said:
            (directory,) = (root / "storage" / "runners").iterdir()
            subprocess.run([sys.executable, "-c", _CONTENT, directory], check=True)
        rest, errors = process.communicate("\n", timeout=60)
    return said + rest, errors.strip().rpartition("\n")[2]


def test_with_the_shipped_capabilities_a_life_ends_well(tmp_path: Path) -> None:
    assert live(tmp_path, _CAPABILITIES) == ("made\ngone\n", "")


@pytest.mark.parametrize("missing", _CAPABILITIES)
def test_without_one_of_them_it_does_not(missing: str, tmp_path: Path) -> None:
    said, error = live(tmp_path, tuple(name for name in _CAPABILITIES if name != missing))
    assert "gone" not in said
    assert error
