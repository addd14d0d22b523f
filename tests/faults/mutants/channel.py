"""Agents and controllers that believe what they are told, or do not wait for each other."""

import asyncio
from typing import Any, Final

from metrics_storage.agent.calls import Calls
from metrics_storage.channel.messages import read_record
from metrics_storage.controller.fleet import remote_engine
from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import Agent
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.engine.volume import epochs
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.errors import NodeUnavailableError
from tests.faults.change import Change, in_place_of, left_out, says
from tests.faults.mutants.mutant import Mutant, mutant

_CONNECTION: Final = "tests/unit/fleet/test_connection.py::"
_ADMISSION: Final = "tests/unit/fleet/test_admission.py::"
_CALLS: Final = "tests/unit/fleet/test_calls.py::"


async def _nothing_where_it_is_away(real: Any, *args: Any) -> Any:
    try:
        return await real(*args)
    except NodeUnavailableError:
        return None


async def _admit(*_: object) -> None:
    """Everybody."""


CHANNEL: Final[dict[str, Mutant]] = {
    "an agent listens to whoever asks": mutant(
        left_out(Epochs.accept), _CONNECTION + "test_a_controller_that_was_replaced_is_refused_from_then_on"
    ),
    "an agent forgets whom it listened to": mutant(
        left_out(epochs._record, Epochs.accept),
        _CONNECTION + "test_a_replaced_controller_is_not_listened_to_after_a_restart_either",
    ),
    "an agent that is away has nothing": mutant(
        Change(RemoteEngine.find, _nothing_where_it_is_away),
        _CONNECTION + "test_an_agent_that_is_away_is_unknown_and_never_nothing",
    ),
    "an answer about another is believed": mutant(
        in_place_of(remote_engine._entry, lambda result, _uid: read_record(result.entry)),
        _CALLS + "test_an_answer_that_does_not_fit_is_an_error_and_never_nothing",
    ),
    "two steps for one uid overlap": mutant(
        in_place_of(Calls._lock, lambda *_: asyncio.Lock()),
        _CALLS + "test_a_step_waits_for_the_same_uids_step_of_an_earlier_connection",
    ),
    "anybody speaks for a volume": mutant(
        in_place_of(Admission.admit, _admit), _ADMISSION + "test_nobody_speaks_for_the_volume_of_a_node_that_is_away"
    ),
    "a node without its disk is a new one": mutant(
        says(Bindings.of_node, None), _ADMISSION + "test_a_node_whose_disk_is_not_mounted_is_not_a_new_one"
    ),
    "who waits is not told that the connection ended": mutant(
        left_out(Agent.end), _CALLS + "test_a_step_whose_answer_is_lost_is_repeated_and_done_once"
    ),
}  # fmt: skip
