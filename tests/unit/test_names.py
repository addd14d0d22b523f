"""Names of tests are sentences that a report shows whole, and modules are short."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_name_of_a_test_is_longer_than_80_characters() -> None:
    names = [name for path in TESTS.rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())]
    assert len(names) > 500
    assert [name for name in names if len(name) > 80] == []


def test_every_module_of_the_product_can_be_held_in_the_head() -> None:
    modules = list((TESTS.parent / "operator").rglob("*.py"))
    assert len(modules) > 100
    assert [path.name for path in modules if len(path.read_text().splitlines()) >= 300] == []
