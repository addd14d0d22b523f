"""What stands between agent and controller does what it says, and a controller that believes too much is noticed."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.errors import NodeUnavailableError
from tests.faults.change import Change, apply
from tests.faults.channel import tries
from tests.faults.channel.relay import DOWN, ENDS, FROM_VAULT, TO_VAULT, UP, Fate, Place
from tests.faults.channel.tries import Point

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners of files are set, which needs root")

REMOVE = 6
"""The number of the call that removes, and of its answer: before them are welcome and hello, and five calls."""


@pytest.fixture(autouse=True)
def _worker(tmp_path: Path) -> Iterator[None]:
    tries.prepare(tmp_path)
    yield
    logging.disable(logging.NOTSET)


def test_a_life_without_faults_has_a_message_a_step_in_each_direction() -> None:
    counted = tries.count()
    assert (counted["messages up"], counted["messages down"]) == (10, 10)
    assert counted["messages from the vault"] == 11
    assert counted["messages to the vault"] > 15
    assert min(counted["bytes up"], counted["bytes down"]) > 500


@pytest.mark.parametrize("fate", sorted(set(Fate) - ENDS))
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_no_fate_of_the_message_that_removes_breaks_a_promise(direction: str, fate: Fate) -> None:
    assert tries.try_point(Point(Place(direction, REMOVE), fate)) == []


@pytest.mark.parametrize("fate", sorted(set(Fate) - ENDS))
@pytest.mark.parametrize(("direction", "number"), [(TO_VAULT, 4), (TO_VAULT, 16), (FROM_VAULT, 5), (FROM_VAULT, 8)])
def test_no_fate_of_a_message_of_an_archive_breaks_a_promise(direction: str, number: int, fate: Fate) -> None:
    assert tries.try_point(Point(Place(direction, number), fate)) == []


@pytest.mark.parametrize("fate", sorted(ENDS))
@pytest.mark.parametrize(("direction", "number"), [(DOWN, 6), (TO_VAULT, 14), (FROM_VAULT, 9)])
def test_no_end_of_a_side_breaks_a_promise(direction: str, number: int, fate: Fate) -> None:
    assert tries.try_point(Point(Place(direction, number), fate)) == []


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("byte", [0, 50, 700])
def test_no_cut_of_the_wire_breaks_a_promise(direction: str, byte: int) -> None:
    assert tries.try_point(Point(Place(direction, byte))) == []


async def _taken_for_done(real: Any, *args: Any) -> Any:
    try:
        return await real(*args)
    except NodeUnavailableError:
        return None


def test_a_controller_that_takes_a_lost_call_for_one_that_was_carried_out_is_noticed() -> None:
    with apply(Change(RemoteEngine.remove, _taken_for_done)):
        assert tries.try_point(Point(Place(DOWN, REMOVE), Fate.LOST))
