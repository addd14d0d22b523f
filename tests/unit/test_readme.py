"""What the documents for people promise, compared with the code: flags, reasons, links, commands, examples."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import click
import pytest

from metrics_storage.cli.agent import agent
from metrics_storage.cli.command import Setting
from metrics_storage.cli.run import run
from metrics_storage.controller.engine_api import Scrubber
from metrics_storage.controller.metrics import build_metrics
from metrics_storage.controller.sweep import Sweep
from metrics_storage.model import error_reasons, reasons
from metrics_storage.model.scrubbing import ScrubState
from tests.unit.cli.parsing import parsed

ROOT: Final = Path(__file__).parents[2]
UID: Final = "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"
README: Final = (ROOT / "README.md").read_text()
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def rows(heading: str, text: str = README) -> list[list[str]]:
    """Cells of the table below a heading of a document, the README at first, without its first two lines."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def blocks(text: str, *languages: str) -> list[str]:
    """Code blocks in one of these languages."""
    return [code for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S) if language in languages]


def commands(text: str) -> list[str]:
    """Command lines of shell blocks, continued lines joined, comments cut off."""
    lines = []
    for block in blocks(text, "sh"):
        lines += block.replace("\\\n", " ").splitlines()
    for block in blocks(text, "console"):
        lines += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return [command for line in lines if (command := re.sub(r"(^|\s)# .*", "", line).strip())]


def written(flag: Setting) -> str:
    """How the table writes a default."""
    if flag.required:
        return "required"
    if flag.written in ("", "all"):
        return flag.written or ("empty" if flag.default == "" else "none")
    return f"`{flag.written}`"


def anchors(path: Path) -> set[str]:
    """Anchors of headings as they are made on the usual code hosts."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def flags_of(command: click.Command) -> list[list[str | None]]:
    """The rows of a table with every flag of a command."""
    flags = [parameter for parameter in command.params if isinstance(parameter, Setting)]
    return [[f"`{flag.opts[0]}`", f"`{flag.envvar}`", written(flag), flag.help] for flag in flags]


def test_the_configuration_tables_have_every_flag_with_its_variable_default_and_help() -> None:
    agents = (ROOT / "docs" / "agents.md").read_text()
    found = [[*row[:3], row[3].replace("`", "")] for row in rows("Configuration")]
    assert sorted(found + rows("Settings", agents)) == sorted(flags_of(run))
    assert rows("Settings of an agent", agents) == flags_of(agent)


def test_the_table_of_reasons_has_every_reason_and_says_whether_it_stalls() -> None:
    stalling = {reason for _, reason, stalled, _ in error_reasons._MEANINGS if stalled} | {reasons.QUARANTINED}
    every = {value for name, value in vars(reasons).items() if name.isupper()}
    found = {name: row[1] for row in rows("Conditions and reasons") for name in re.findall(r"`(\w+)`", row[0])}
    assert found == {reason: "yes" if reason in stalling else "no" for reason in every}


def test_every_metric_is_documented_and_no_other() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().split("\n## Monitoring\n")[1].split("\n## ")[0]
    sweep = cast(Sweep, SimpleNamespace(stalled=0, orphans=()))
    scrubber = cast(Scrubber, SimpleNamespace(state=ScrubState()))
    metrics = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in build_metrics(scrubber, sweep).collect()
    }
    rows_of_metrics = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M)
    assert sorted(rows_of_metrics) == sorted(metrics.items())
    assert set(re.findall(r"metrics_storage_\w+", section)) == metrics.keys()


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 400


@every_document
def test_relative_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = document.read_text()
    named = {match for command in commands(text) for match in re.findall(r"^make ([\w-]+)", command)}
    named |= set(re.findall(r"`make ([\w-]+)[^`]*`", text))
    assert named <= targets


@every_document
def test_files_that_kubectl_is_told_to_apply_exist(document: Path) -> None:
    named = {
        path
        for command in commands(document.read_text())
        for path in re.findall(r" -[fk] (?:\.\./metrics-storage-operator/)?((?:manifests|crds)\S*)", command)
    }
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_commands_of_metrics_storage_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = re.compile(r"metrics-storage ((?:run|accept-loss|init-volume)\b.*)")
    found = [match[1] for command in commands(README) if (match := pattern.search(command))]
    monkeypatch.setenv("METRICS_STORAGE_STORAGE_ROOT", "/srv/metrics")
    assert [parsed(shlex.split(arguments.replace("UID", UID))).command.name for arguments in found] == [
        "accept-loss",
        "init-volume",
    ]


def test_the_local_example_of_the_library_runs(tmp_path: Path) -> None:
    example = blocks(README, "python")[0]
    environment = {
        **os.environ,
        "METRICS_STORAGE_BASE_PATH": str(tmp_path / "base"),
        "METRICS_STORAGE_QUARANTINE_PATH": str(tmp_path / "quarantine"),
        "METRICS_STORAGE_OWNER": f"{os.getuid()}:{os.getgid()}",
    }
    subprocess.run([sys.executable, "-c", example], env=environment, check=True, timeout=60)
    assert len(list((tmp_path / "quarantine").glob("*/runner-0_*.tar.gz"))) == 1


def test_the_example_with_a_cluster_uses_what_the_library_has() -> None:
    from metrics_storage.storage import KubernetesStorageManager

    example = blocks(README, "python")[1]
    compile(example, "README.md", "exec")
    assert set(re.findall(r"manager\.(\w+)\(", example)) <= set(dir(KubernetesStorageManager))
