"""What is installed with which extra: the library on a local directory and the archives' commands need none."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRA = ("aiohttp", "google", "grpc", "kopf", "kubernetes", "urllib3", "yaml")

_WITHOUT = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRA}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing of the extras is installed."""
    command = [sys.executable, "-c", _WITHOUT + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_local_library_and_the_commands_on_archives_need_no_extra(tmp_path: Path) -> None:
    life = """
import os
from pathlib import Path
from metrics_storage.cli.main import main
from metrics_storage.storage import FilesystemStorageManager
base, quarantine = Path(sys.argv[1], "base"), Path(sys.argv[1], "quarantine")
manager = FilesystemStorageManager(base, quarantine, f"{os.getuid()}:{os.getgid()}")
(manager.create("runner-0").path / "evidence").write_text("found")
manager.move_to_quarantine("runner-0")
assert not list(manager.list_all())
sys.exit(main(["archives", "verify", "--all", "--quarantine-root", str(quarantine)]))
"""
    done = run(life, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok ")


def test_who_uses_a_cluster_is_told_what_to_install() -> None:
    done = run("from metrics_storage.storage import KubernetesStorageManager")
    assert "pip install 'metrics-storage-operator[kubernetes]'" in done.stderr.splitlines()[-1]


def test_who_runs_the_operator_is_told_what_to_install() -> None:
    flags = ["run", "--storage-root=/s", "--quarantine-root=/q", "--volume-source=hostpath:/s"]
    done = run("from metrics_storage.cli.main import main\nsys.exit(main(sys.argv[1:]))", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("metrics-storage: run needs ")
    assert "pip install 'metrics-storage-operator[operator]'" in done.stderr


def test_nothing_of_the_extras_is_installed_without_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [name.partition(">")[0] for name in project["dependencies"]] == ["click", "rich"]
