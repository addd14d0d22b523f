"""What every command has in common: help, suggestions, misplaced flags, and nothing imported that is not needed."""

import shlex
import subprocess
import sys

import click
import pytest

from metrics_storage.cli.command import Command, Group, Setting
from metrics_storage.cli.main import main
from tests.unit.cli.parsing import parsed, verbs

Output = pytest.CaptureFixture[str]
every_verb = pytest.mark.parametrize("verb", verbs())


@every_verb
@pytest.mark.parametrize("columns", [80, 196])
def test_every_command_has_help_with_examples_that_fits_a_terminal(
    verb: str, columns: int, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*verb.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:\n  " in out
    assert "Exit codes:\n  0  " in out
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= min(columns, 100)


def test_help_uses_the_width_of_the_terminal(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "196")
    main(["archives", "prune", "--help"])
    assert 80 < max(map(len, capsys.readouterr().out.splitlines())) <= 100


@every_verb
def test_examples_are_command_lines_that_are_understood(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_ROOT", "/srv/quarantine")
    monkeypatch.setenv("METRICS_STORAGE_STORAGE_ROOT", "/srv/metrics")
    command = verbs()[verb]
    seen = 0
    assert isinstance(command, Command | Group)
    for example in command.examples:
        line = example.replace("\\\n", " ").split(" | ")[0].partition("metrics-storage ")[2]
        if example.startswith(("export", "eval")):
            continue
        line = line.split("--sha256")[0]
        context = parsed(shlex.split(line))
        seen += isinstance(command, Group) or context.command is command
    assert seen


@every_verb
def test_every_flag_and_argument_is_explained(verb: str) -> None:
    command = verbs()[verb]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Option | click.Argument)
        assert parameter.help
        if isinstance(parameter, click.Option):
            assert parameter.is_flag or isinstance(parameter, Setting)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("archives list --ouput=json", "did you mean --output?", id="wrong flag"),
        pytest.param("archives lst", "did you mean list?", id="wrong verb"),
        pytest.param(
            "--quarantine-root /q archives list",
            "--quarantine-root comes after the command, as in: metrics-storage archives list --quarantine-root",
            id="flag before all",
        ),
        pytest.param(
            "archives -q verify x",
            "-q comes after the command, as in: metrics-storage archives verify -q",
            id="flag before the verb",
        ),
        pytest.param("archives show", "ARCHIVE is missing; see: metrics-storage archives show --help", id="argument"),
        pytest.param("archives list -n --name=x", "--namespace '--name=x' is not a name", id="value forgotten"),
        pytest.param("archives list --output", "requires an argument", id="value missing"),
        pytest.param("archives list x", "unexpected extra argument (x)", id="too much"),
        pytest.param("archives list -o xml", "--output 'xml' must be one of table, json", id="choice"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_what_to_do(
    line: str, said: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_ROOT", "/nosuch")
    assert main(line.split()) == 2
    (found,) = capsys.readouterr().err.splitlines()
    assert found.startswith("metrics-storage: ")
    assert said in found


def test_a_wrong_variable_is_named(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_STORAGE_WORKERS", "many")
    assert main(["run", "--storage-root=/s", "--quarantine-root=/q", "--volume-source=hostpath:/s"]) == 2
    assert (
        capsys.readouterr().err == "metrics-storage: --workers 'many' is not a number (from METRICS_STORAGE_WORKERS)\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "prune --incomplete --ye",
        "prune --incompl --yes",
        "prune --unclean --yes",
        "prune --keep=0 --yes",
        "prune --older=1d --yes",
        "restore a b --skip",
        "restore a b --same",
        "restore a b --keep",
    ],
)
def test_no_flag_may_be_abbreviated(line: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_STORAGE_QUARANTINE_ROOT", "/nosuch")
    assert main(["archives", *line.split()]) == 2
    assert "no such option '--" in capsys.readouterr().err


def test_no_arguments_show_the_help(capsys: Output) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: metrics-storage ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("metrics-storage ")


def test_shells_can_complete(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_METRICS_STORAGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "metrics-storage archives l")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert main([]) == 0
    assert capsys.readouterr().out == "plain,list\n"


def test_only_run_needs_the_packages_of_the_operator() -> None:
    blocked = (
        "import sys\n"
        "for name in ('kopf', 'aiohttp', 'kubernetes'): sys.modules[name] = None\n"
        "from metrics_storage.cli.main import main\n"
        "sys.exit(main())\n"
    )
    needed = ["--storage-root=/s", "--quarantine-root=/q", "--volume-source=hostpath:/s"]
    help_ = subprocess.run(
        [sys.executable, "-c", blocked, "archives", "list", "--help"], capture_output=True, check=False
    )
    assert (help_.returncode, help_.stderr) == (0, b"")
    run = subprocess.run([sys.executable, "-c", blocked, "run", *needed], capture_output=True, check=False, text=True)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.endswith("which is not installed: pip install 'metrics-storage-operator[operator]'")
