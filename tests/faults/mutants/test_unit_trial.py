"""A unit test as a trial passes, fails, or cannot be run, and these are three things."""

from pathlib import Path

import pytest

from tests.faults.mutants import unit_trial


def test_a_test_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("def test_good(): pass\ndef test_bad(): assert 'this' == 'that'\n")
    assert unit_trial.attempt(f"{test}::test_good") is None
    assert "assert 'this' == 'that'" in (unit_trial.attempt(f"{test}::test_bad") or "")


def test_a_mutant_that_cannot_be_loaded_does_not_count_as_noticed() -> None:
    node = "tests/unit/engine/test_durable.py::test_a_link_in_place_of_a_directory_is_not_opened"
    with pytest.raises(RuntimeError, match="could not be run"):
        unit_trial.attempt(node, "no such mutant")
