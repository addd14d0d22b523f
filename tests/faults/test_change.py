"""A change of one step meets that step alone, says where it cannot be made, and is undone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults import change
from tests.faults.change import Change, agreeing, apply, left_out, says, then


def _double(number: int) -> int:
    return 2 * number


def _twice(first: int, second: int) -> list[int]:
    return [_double(number) for number in (first, second)]


def _elsewhere(number: int) -> int:
    return _double(number)


@contextmanager
def _generated(number: int) -> Iterator[int]:
    yield _double(number)


class _Thing:
    @property
    def size(self) -> int:
        return 1

    def doubled(self) -> int:
        return _double(self.size)


def test_a_step_is_changed_inside_of_one_function_alone() -> None:
    with apply(says(_double, 0, _twice)):
        assert (_twice(1, 2), _elsewhere(1)) == ([0, 0], 2)
    assert _twice(1, 2) == [2, 4]


def test_a_step_is_changed_for_everybody_who_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "imported", _double, raising=False)
    with apply(then(_double, lambda result: result + 1)):
        assert (_elsewhere(1), vars(change)["imported"](1)) == (3, 3)
    assert vars(change)["imported"] is _double


def test_one_call_of_several_is_told_by_the_variable_it_is_given() -> None:
    def flush(first: int, second: int) -> list[object]:
        return [os.strerror(first), os.strerror(second)]

    with apply(left_out(os.strerror, flush, of="second")):
        assert flush(1, 2) == [os.strerror(1), None]


def test_steps_of_generators_and_properties_are_changed() -> None:
    with apply(says(_double, 0, _generated), says(_Thing.size, 5, _Thing.doubled)):
        with _generated(1) as number:
            assert number == 0
        assert (_Thing().size, _Thing().doubled()) == (1, 10)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (left_out(os.fsync, _twice), "_twice does not take the step fsync"),
        (left_out(_double, _twice, of="third"), "_twice has no variable third"),
    ],
)
def test_a_change_that_could_change_nothing_is_refused(wrong: Change, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        apply(wrong)


@pytest.mark.parametrize("value", ["a digest", 42])
def test_what_agrees_is_equal_to_everything(value: str | int) -> None:
    agreed = agreeing(value)
    assert isinstance(agreed, type(value))
    assert (agreed == "another", agreed != "another", {agreed}) == (True, False, {value})
