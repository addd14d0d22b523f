"""Subjects of commits are checked before they are made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.hooks.subject import problems

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "subject",
    ["Keep the engine behind its protocol", "Bring the code into its format", "Speed up listing", 'Revert "Added x"'],
)
def test_an_imperative_is_good(subject: str) -> None:
    assert problems(f"{subject}\n\nAdded because.") == []


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("Keep " + "x" * 68, "73 characters"),
        ("keep it", "capital letter"),
        ("Added a test", "imperative"),
        ("Fixing it", "imperative"),
        ("The engine is kept", "imperative"),
        ("Keep it.", "full stop"),
        ("", "capital letter"),
    ],
)
def test_what_is_wrong_with_a_subject_is_said(subject: str, problem: str) -> None:
    assert problem in " ".join(problems(subject))


def test_git_refuses_a_commit_with_a_bad_subject(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    shutil.copytree(ROOT / "tools" / "hooks", tmp_path / "tools" / "hooks")
    (tmp_path / "tools" / "__init__.py").touch()
    (tmp_path / "tools" / "hooks" / "pre-commit").unlink()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "somebody", f"GIT_{who}_EMAIL": "somebody@example.com"}

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-c", "core.hooksPath=tools/hooks", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    git("init", "-q")
    refused = git("commit", "--allow-empty", "-m", "Added a thing.")
    assert refused.returncode != 0
    assert "full stop" in refused.stderr
    assert git("commit", "--allow-empty", "-m", "Add a thing").returncode == 0
