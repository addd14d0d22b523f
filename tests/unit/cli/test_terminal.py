"""What a person sees at a terminal while work goes on, and what nothing from elsewhere can do to it."""

import io

import pytest
from rich.text import Text

from metrics_storage.cli.progress import ProgressBar
from metrics_storage.cli.tables import table
from metrics_storage.cli.text import shown, shown_path, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_appears_as_lines_only_for_long_work() -> None:
    now, stream = [0.0], io.StringIO()
    with ProgressBar("work", 1024, stream=stream, clock=lambda: now[0]) as progress:
        progress(0, 0)
        assert stream.getvalue() == ""
        now[0] = 60.0
        progress(512, 3)
        assert stream.getvalue() == "work: 50%, 512 B of 1.0 KiB, 3 entries\n"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["lines", "bar"])
def test_progress_that_nobody_wants_is_not_shown(stream: io.StringIO) -> None:
    now = [0.0]
    with ProgressBar("work", 1024, quiet=True, stream=stream, clock=lambda: now[0]) as progress:
        now[0] = 600.0
        progress(512, 3)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_progress_is_a_bar_on_a_terminal_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    now, stream = [0.0], Terminal()
    with ProgressBar("verifying runners/runner-0", 1024, stream=stream, clock=lambda: now[0]) as progress:
        progress(0, 0)
        assert stream.getvalue() == ""
        for now[0], done in ((60.0, 256), (70.0, 384), (80.0, 512)):
            progress(done, 3)
        (line,) = Text.from_ansi(stream.getvalue().rpartition("\r")[2]).plain.splitlines()
    assert len(line) <= columns
    assert line.startswith("verifying runners/runner-0" if columns > 40 else "verifying run")
    assert " 50%" in line
    assert " 0:00:40" in line
    assert ("━━━━" in line and "0.5/1.0 KiB" in line) == (columns >= 100)
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["lines", "bar"])
def test_work_goes_on_where_progress_cannot_be_shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(stream, "write", refuse)
    now = [0.0]
    with ProgressBar("work", 1024, stream=stream, clock=lambda: now[0]) as progress:
        now[0] = 60.0
        progress(512, 3)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1048575, "1.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (2**70, "1024.0 EiB"),
    ],
)
def test_sizes_are_in_the_unit_that_suits(number: int, text: str) -> None:
    assert size(number) == text


def test_text_from_elsewhere_is_escaped_and_cut_by_columns() -> None:
    assert shown("größe\x1b\u202e\n") == r"größe\x1b\u202e\n"
    assert shown_path(b"a\\n\xff") == r"a\\n\xff"
    assert table(("A",), [("漢字漢字",)], 5, elastic=("A",)) == ["A", "漢字…"]
    lines = table(("A", "NAME", "B"), [("1", "n" * 40, "b" * 40)], 60, elastic=("NAME", "B"))
    assert [len(line) for line in lines if "…" in line] == [60]
    assert "1  nnnnnn" in lines[1]
    uncut = table(("A", "NAME"), [("1", "n" * 4000)], None, elastic=("NAME",))
    assert uncut[1] == "1  " + "n" * 4000
