"""Workers do everything once, whatever becomes of one of them."""

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from tests.faults.workers import Worker, in_parallel

_END = 5


def _nothing() -> None:
    """Prepare nothing."""


def _square(number: int) -> int:
    if number == _END:
        os._exit(3)
    return number * number


def test_what_waited_behind_one_that_ended_its_process_is_done() -> None:
    found = dict(in_parallel("squares", _square, range(20), 2, _nothing, died=lambda _: -1))
    assert found == {number: -1 if number == _END else number * number for number in range(20)}


def test_a_process_that_ends_is_an_error_where_nobody_expects_it() -> None:
    with pytest.raises(BrokenProcessPool):
        dict(in_parallel("squares", _square, range(20), 2, _nothing))


def test_a_worker_that_cannot_be_prepared_is_an_error_and_not_tried_for_ever() -> None:
    with pytest.raises(BrokenProcessPool):
        Worker(lambda: os._exit(3))
