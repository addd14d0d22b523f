"""Names of tests are sentences that a report shows whole, and modules are short."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_no_name_of_a_test_is_longer_than_80_characters() -> None:
    names = [name for path in TESTS.rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())]
    assert len(names) > 500
    assert [name for name in names if len(name) > 80] == []


@pytest.mark.parametrize("folder", ["operator", "tests", "tools"])
def test_every_module_can_be_held_in_the_head(folder: str) -> None:
    modules = list((TESTS.parent / folder).rglob("*.py"))
    assert len(modules) > 40
    assert [path.name for path in modules if len(path.read_text().splitlines()) >= 300] == []
