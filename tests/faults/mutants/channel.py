"""Agents and controllers that believe what they are told, or do not wait for each other."""

import asyncio
from typing import Any, Final

from metrics_storage.agent.calls import Calls
from metrics_storage.channel.messages import read_record
from metrics_storage.controller import decisions
from metrics_storage.controller.fleet import remote_engine, vault_streams
from metrics_storage.controller.fleet.absences import Absences
from metrics_storage.controller.fleet.admission import Admission
from metrics_storage.controller.fleet.agents import Agent, Agents
from metrics_storage.controller.fleet.remote_engine import RemoteEngine
from metrics_storage.controller.fleet.sites import FleetSites
from metrics_storage.controller.fleet.vault_streams import VaultStreams
from metrics_storage.controller.placement import Placement
from metrics_storage.controller.reconciler import Reconciler
from metrics_storage.controller.site import Site
from metrics_storage.controller.subject import Subject
from metrics_storage.engine.archives.archiver import Archiver
from metrics_storage.engine.archives.local_vault import LocalDraft
from metrics_storage.engine.volume import epochs
from metrics_storage.engine.volume.bindings import Bindings
from metrics_storage.engine.volume.epochs import Epochs
from metrics_storage.engine.volume.releases import Releases
from metrics_storage.errors import NodeUnavailableError
from metrics_storage.model.identity import Identity, Uid
from metrics_storage.model.record import Archive
from tests.faults.change import Change, in_place_of, left_out, says
from tests.faults.mutants.mutant import Mutant, mutant

_CONNECTION: Final = "tests/unit/fleet/test_connection.py::"
_ADMISSION: Final = "tests/unit/fleet/test_admission.py::"
_STREAMS: Final = "tests/unit/fleet/test_vault_streams.py::"
_ARCHIVES: Final = "tests/unit/fleet/test_remote_archives.py::"
_SITES: Final = "tests/unit/fleet/test_sites.py::"
_ABSENCES: Final = "tests/unit/fleet/test_absences.py::"
_CALLS: Final = "tests/unit/fleet/test_calls.py::"


async def _nothing_where_it_is_away(real: Any, *args: Any) -> Any:
    try:
        return await real(*args)
    except NodeUnavailableError:
        return None


async def _admit(*_: object) -> None:
    """Everybody."""


def _any_session(_real: object, agents: Agents, _session: str) -> Agent | None:
    return next(iter(agents._agents.values()), None)


def _whoever_it_says(_real: object, _agent: Agent, uid: str) -> Identity | None:
    return Identity("runners", "runner-0", Uid(uid)) if Uid.parse(uid) else None


async def _every_node_may(*_: object) -> bool:
    return True


def _by_the_status_alone(_real: object, sites: FleetSites, _uid: Uid, placed: Uid | None) -> Site | None:
    return sites._site(placed) if placed else None


async def _without_a_word(_real: object, placement: Placement, subject: Subject) -> Site:
    return placement.find(subject) or await placement._sites.choose(subject.identity.uid, {})


async def _as_far_as_is_known(_real: object, placement: Placement, subject: Subject) -> Site | None:
    return placement.find(subject)


async def _as_if_known(real: Any, absences: Absences, volume_id: Uid, **_: object) -> Any:
    return await real(absences, volume_id, known=True)


def _only_read(_real: object, archives: Archiver, identity: Identity, archive: Archive, progress: Any) -> None:
    archives._vault.digests(identity, 1, progress)


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
        says(Bindings.of_node, []), _ADMISSION + "test_a_node_whose_disk_is_not_mounted_is_not_a_new_one"
    ),
    "a stream to the vault needs no session": mutant(
        Change(Agents.of_session, _any_session), _STREAMS + "test_a_stream_without_a_session_is_refused"
    ),
    "a node writes whosever archives it likes": mutant(
        Change(Agent.subject, _whoever_it_says),
        _STREAMS + "test_archives_of_what_the_node_is_not_asked_for_are_out_of_reach",
    ),
    "a permission outlives its step": mutant(
        left_out(Agent._permit_no_more, Agent.archiving),
        _STREAMS + "test_a_step_that_is_over_permits_nothing_any_more",
    ),
    "a stream outlives its connection": mutant(
        left_out(Agent.end, Agents.remove), _STREAMS + "test_a_session_is_over_with_its_connection"
    ),
    "a commit needs no verified stream": mutant(
        says(vault_streams._was_verified, True, vault_streams._take_in),
        _STREAMS + "test_only_what_was_verified_is_committed",
    ),
    "two archives of one runner are written at once": mutant(
        in_place_of(VaultStreams._lock, lambda *_: asyncio.Lock()),
        _STREAMS + "test_the_next_archive_of_a_runner_waits_for_the_end_of_the_one_before",
    ),
    "a manifest says whose archive it is": mutant(
        left_out(LocalDraft._require_own), _ARCHIVES + "test_a_node_cannot_say_that_another_one_had_the_directory"
    ),
    "a node takes the digests that it is told": mutant(
        Change(Archiver.check, _only_read), _ARCHIVES + "test_a_node_removes_nothing_on_digests_that_it_did_not_compute"
    ),
    "a node that takes nothing new gets directories": mutant(
        Change(FleetSites._may_take, _every_node_may), _SITES + "test_a_node_that_will_not_do_gets_nothing"
    ),
    "a place that a status lost is chosen anew": mutant(
        Change(FleetSites.find, _by_the_status_alone),
        _SITES + "test_a_place_that_the_status_lost_is_found_in_the_journals",
    ),
    "what nobody connected knows was never placed": mutant(
        Change(Placement.locate, _as_far_as_is_known),
        _SITES + "test_what_has_a_directory_is_neither_placed_anew_nor_let_go_meanwhile",
    ),
    "a directory is made before the status names its place": mutant(
        Change(Placement.place, _without_a_word), _SITES + "test_the_place_is_in_the_status_before_anything_is_made"
    ),
    "evidence is given up with its node": mutant(
        says(decisions.asks_for_archive, False, Reconciler._give_up),
        _ABSENCES + "test_of_its_own_accord_only_what_was_not_to_be_archived_is_given_up",
    ),
    "what was given up does not wait for its node": mutant(
        Change(Absences.loss_of, _as_if_known), _ABSENCES + "test_what_is_given_up_waits_until_its_node_is_lost"
    ),
    "what is back stays given up": mutant(
        left_out(Releases.withdraw), _ADMISSION + "test_what_was_given_up_and_is_back_is_given_up_no_longer"
    ),
    "who waits is not told that the connection ended": mutant(
        left_out(Agent.end), _CALLS + "test_a_step_whose_answer_is_lost_is_repeated_and_done_once"
    ),
}  # fmt: skip
