"""The status as kstatus reads it."""

from dataclasses import replace
from typing import Any

from metrics_storage.errors import ConflictError, UncleanArchiveError, VolumeError
from metrics_storage.model.error_reasons import explain
from metrics_storage.model.record import Phase
from metrics_storage.model.status import Findings, build_status
from metrics_storage.model.usage import Usage
from tests.unit.model.records import DONE, IDENTITY, LATCHED, RECORD


def status(findings: Findings, old: dict[str, Any] | None = None) -> dict[str, Any]:
    return build_status(findings, old or {}, uid=IDENTITY.uid, generation=3, now="2026-01-01T00:00:00Z")


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in found["conditions"]}


def test_a_bound_claim_on_a_provisioned_directory_is_ready_and_nothing_else() -> None:
    found = status(Findings(record=RECORD, bound=True, path="/srv/x", node_name="n"))
    assert conditions(found) == {"Ready": ("True", "Provisioned"), "Provisioned": ("True", "Provisioned")}
    assert found["phase"] == "Ready"
    assert found["observedGeneration"] == 3
    assert (found["path"], found["nodeName"], found["claimName"]) == ("/srv/x", "n", "runner-0")


def test_a_claim_that_waits_for_its_first_consumer_is_ready_and_not_provisioned() -> None:
    found = status(Findings(record=None, waiting_claim="runner-0"))
    reason = "WaitingForFirstConsumer"
    assert conditions(found) == {"Ready": ("True", reason), "Provisioned": ("False", reason)}
    assert (found["phase"], found["claimName"]) == ("Ready", "runner-0")
    assert "path" not in found
    failed = status(Findings(record=None, problem=explain(VolumeError("not mounted"))), found)
    assert conditions(failed)["Ready"] == ("False", "VolumeUnavailable")
    assert failed["claimName"] == "runner-0"


def test_an_error_that_a_person_must_mend_is_stalled() -> None:
    found = status(Findings(record=RECORD, bound=True, problem=explain(ConflictError("claim x is not ours"))))
    assert conditions(found) == {
        "Ready": ("False", "ClaimConflict"),
        "Provisioned": ("True", "Provisioned"),
        "Stalled": ("True", "ClaimConflict"),
    }
    assert found["phase"] == "Failed"


def test_an_error_that_passes_by_itself_is_reconciling() -> None:
    found = status(Findings(record=LATCHED, problem=explain(UncleanArchiveError("changed"))))
    assert conditions(found) == {
        "Ready": ("False", "ArchiveUnclean"),
        "Provisioned": ("True", "Provisioned"),
        "Quarantined": ("False", "ArchiveUnclean"),
        "Reconciling": ("True", "ArchiveUnclean"),
    }
    assert found["phase"] == "Quarantining"


def test_an_unknown_error_is_temporary_and_named() -> None:
    problem = explain(ZeroDivisionError("division by zero"))
    assert not problem.stalled
    assert problem.message.startswith("ZeroDivisionError: division by zero")


def test_a_latched_quarantine_is_never_ready() -> None:
    found = status(Findings(record=LATCHED, bound=True))
    assert conditions(found)["Ready"] == ("False", "Archiving")
    assert found["quarantine"] == {"reason": "bad", "requestedAt": "t0"}


def test_a_finished_quarantine_is_the_record_of_its_archive() -> None:
    found = status(Findings(record=DONE))
    assert conditions(found) == {
        "Ready": ("False", "Quarantined"),
        "Provisioned": ("False", "Quarantined"),
        "Quarantined": ("True", "Quarantined"),
        "Stalled": ("True", "Quarantined"),
    }
    assert found["phase"] == "Quarantined"
    assert found["quarantine"]["archive"] == "runners/a.tar.gz"
    assert found["quarantine"]["clean"] is True


def test_a_released_loss_is_never_called_quarantined() -> None:
    found = status(Findings(record=replace(LATCHED, phase=Phase.GONE)))
    assert conditions(found) == {
        "Ready": ("False", "DirectoryVanished"),
        "Provisioned": ("False", "DirectoryVanished"),
        "Quarantined": ("False", "DirectoryVanished"),
        "Stalled": ("True", "DirectoryVanished"),
    }
    assert found["phase"] == "Failed"


def test_transition_times_stay_while_a_status_stays() -> None:
    old = status(Findings(record=RECORD, bound=True))
    again = build_status(
        Findings(record=RECORD, bound=True), old, uid=IDENTITY.uid, generation=4, now="2026-02-02T00:00:00Z"
    )
    assert again["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    lost = build_status(Findings(record=RECORD), again, uid=IDENTITY.uid, generation=4, now="2026-03-03T00:00:00Z")
    assert lost["conditions"][0]["lastTransitionTime"] == "2026-03-03T00:00:00Z"


def test_what_the_journal_once_said_of_a_quarantine_stays_while_it_cannot_be_read() -> None:
    old = status(Findings(record=DONE))
    found = status(Findings(record=None, problem=explain(VolumeError("not mounted"))), old)
    assert conditions(found)["Quarantined"] == ("True", "Quarantined")
    assert conditions(found)["Stalled"] == ("True", "VolumeUnavailable")
    assert found["quarantine"] == old["quarantine"]


def test_usage_is_kept_until_it_is_measured_again() -> None:
    old = {"usage": {"bytes": 1, "files": 1, "measuredAt": "t"}}
    assert status(Findings(record=RECORD, bound=True), old)["usage"] == old["usage"]


def test_an_unchanged_usage_keeps_its_time_and_a_changed_one_does_not() -> None:
    old = {"usage": {"bytes": 1, "files": 1, "measuredAt": "t"}}
    assert status(Findings(record=RECORD, bound=True, usage=Usage(1, 1)), old)["usage"]["measuredAt"] == "t"
    changed = status(Findings(record=RECORD, bound=True, usage=Usage(2, 1)), old)["usage"]
    assert changed == {"bytes": 2, "files": 1, "measuredAt": "2026-01-01T00:00:00Z"}
