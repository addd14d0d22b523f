"""The command as a process: in every locale, and with standard streams that are closed, full or have no reader."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.hostile_archive import hostile
from tests.unit.engine.archive_site import Site, opened_site

COMMAND = (sys.executable, "-m", "metrics_storage", "archives")
LOCALES = (
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path) as site:
        site.archive()
        hostile(site)
        yield site


def shell(
    site: Site, script: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell's line in which `"$@"` is a command on the archives of the site."""
    command = ["bash", "-o", "pipefail", "-c", script, "sh", *COMMAND, *arguments]
    values = {**os.environ, "METRICS_STORAGE_QUARANTINE_ROOT": str(site.store.path), **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=values, errors="replace")


@pytest.mark.parametrize("env", LOCALES, ids=lambda env: ",".join(env.values()))
@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "-o", "json"), ("verify", "--all"), ("--help",), ("prune", "--help")]
)
def test_every_locale_is_good_enough(site: Site, env: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = shell(site, '"$@"', *arguments, env=env)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [("list",), ("list", "-o", "json"), ("--help",), ("verify", "--all")])
@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        pytest.param('"$@" >&-', 1, "standard output: Bad file descriptor", id="closed"),
        pytest.param('"$@" >/dev/full', 1, "standard output: No space left on device", id="full"),
        pytest.param('"$@" | true', None, "", id="no reader"),
        pytest.param('"$@" 2>&-', 0, "", id="errors closed"),
        pytest.param('"$@" 2>/dev/full', 0, "", id="errors full"),
    ],
)
def test_streams_that_take_nothing_end_in_one_line(
    site: Site, arguments: tuple[str, ...], script: str, code: int | None, said: str
) -> None:
    done = shell(site, script, *arguments)
    # The reader may end before the first line is written or after the last.
    assert done.returncode in ((0, 141) if code is None else (code,))
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") <= (1 if said else done.stderr.count("\n"))


def test_what_is_wrong_is_told_in_every_locale(site: Site) -> None:
    for env in LOCALES:
        done = shell(site, '"$@"', "verify", "näh…", env=env)
        assert done.returncode in (1, 2)
        assert done.stderr.startswith("metrics-storage: ")
        assert "Traceback" not in done.stderr
