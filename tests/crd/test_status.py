"""The status: written through its subresource only, as the operator publishes it."""

import copy
from typing import Any

import pytest

from tests.crd.collection import Collection

TIME = "2026-01-02T03:04:05Z"
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Bound",
    "message": "the claim runner-0 can be mounted",
    "lastTransitionTime": TIME,
    "observedGeneration": 1,
}
QUARANTINE = {
    "reason": "pre-job-metrics.json is not JSON",
    "requestedAt": TIME,
    "archive": "runners/runner-0_6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11_1.tar.gz",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "bytes": 512,
    "files": 3,
    "clean": True,
    "completedAt": TIME,
}
STATUS = {
    "uid": "6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11",
    "observedGeneration": 1,
    "phase": "Quarantined",
    "nodeName": "worker-1",
    "path": "/var/lib/metrics-storage/runners/runner-0_6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11",
    "claimName": "runner-0",
    "volumeName": "ms-6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11",
    "usage": {"bytes": 1234, "files": 3, "measuredAt": TIME},
    "quarantine": QUARANTINE,
    "conditions": [CONDITION, {**CONDITION, "type": "Quarantined"}],
}


def test_a_complete_status_is_stored_as_it_was_published(collection: Collection) -> None:
    stored = collection.made()

    answer = collection.patch(stored, "/status", status=STATUS)

    assert answer.accepted, answer.message
    assert answer.body["status"] == STATUS
    assert collection.get(stored)["status"] == STATUS


def test_publishing_a_status_is_no_new_generation(collection: Collection) -> None:
    stored = collection.made()

    answer = collection.patch(stored, "/status", status=STATUS)

    assert answer.body["metadata"]["generation"] == 1


def test_a_status_that_comes_with_a_new_object_is_ignored(collection: Collection) -> None:
    answer = collection.create(status=STATUS)

    assert answer.accepted, answer.message
    assert answer.body["status"] == {"observedGeneration": -1}


def test_a_status_that_comes_with_a_replacement_is_ignored(collection: Collection) -> None:
    stored = collection.made()
    published = collection.patch(stored, "/status", status=STATUS).body

    answer = collection.put(published, status={"observedGeneration": 99})

    assert answer.accepted, answer.message
    assert answer.body["status"] == STATUS


def test_a_status_in_a_patch_of_the_object_is_ignored(collection: Collection) -> None:
    stored = collection.made()

    answer = collection.patch(stored, status=STATUS)

    assert answer.accepted, answer.message
    assert answer.body["status"] == {"observedGeneration": -1}


def test_a_spec_that_comes_with_a_status_is_ignored(collection: Collection) -> None:
    stored = collection.made()

    answer = collection.put(stored, "/status", spec={"deletionPolicy": "Retain"}, status={"observedGeneration": 1})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["deletionPolicy"] == "Delete"
    assert answer.body["status"] == {"observedGeneration": 1}


def test_a_status_without_observed_generation_is_not_current(collection: Collection) -> None:
    stored = collection.made()

    answer = collection.put(stored, "/status", status={"phase": "Pending"})

    assert answer.accepted, answer.message
    assert answer.body["status"] == {"phase": "Pending", "observedGeneration": -1}


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"quarantine": None}, id="the field"),
        pytest.param(None, id="the whole status"),
    ],
)
def test_a_latched_quarantine_cannot_be_taken_out(collection: Collection, status: dict[str, Any] | None) -> None:
    stored = collection.made()
    collection.patch(stored, "/status", status={"quarantine": {"reason": "too large", "requestedAt": TIME}})

    answer = collection.patch(stored, "/status", status=status)

    assert answer.code == 422
    assert any(
        "quarantine is a one-way request and cannot be taken out of the status" in message
        for message in answer.causes["status"]
    )
    assert collection.get(stored)["status"]["quarantine"] == {"reason": "too large", "requestedAt": TIME}


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"uid": "7a1de1a2-0c6f-4a0c-8a36-0a8f6a1f9b22"}, id="by its uid"),
        pytest.param({"volumeName": "ms-7a1de1a2-0c6f-4a0c-8a36-0a8f6a1f9b22"}, id="by its volume"),
    ],
)
def test_a_quarantine_of_another_uid_can_be_replaced(collection: Collection, told: dict[str, Any]) -> None:
    stored = collection.made()
    collection.patch(stored, "/status", status={**told, "quarantine": {"reason": "old", "requestedAt": TIME}})

    own = {"uid": "6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11", "quarantine": None}
    answer = collection.patch(stored, "/status", status=own)

    assert answer.accepted, answer.message
    assert "quarantine" not in answer.body["status"]


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"uid": "6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11"}, id="by its uid"),
        pytest.param({"volumeName": "ms-6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11"}, id="by its volume"),
        pytest.param({}, id="by nothing"),
    ],
)
def test_a_quarantine_of_the_same_uid_stays(collection: Collection, told: dict[str, Any]) -> None:
    stored = collection.made()
    collection.patch(stored, "/status", status={**told, "quarantine": {"reason": "not JSON", "requestedAt": TIME}})

    own = {"uid": "6f1c0c5e-3a2d-4a7e-9d6b-0f8f7a5d2b11", "quarantine": None}
    answer = collection.patch(stored, "/status", status=own)

    assert answer.code == 422


def test_a_latched_quarantine_gets_its_archive(collection: Collection) -> None:
    stored = collection.made()
    collection.patch(stored, "/status", status={"quarantine": {"reason": "too large", "requestedAt": TIME}})

    answer = collection.patch(stored, "/status", status={"quarantine": QUARANTINE})

    assert answer.accepted, answer.message
    assert answer.body["status"]["quarantine"] == QUARANTINE


def test_a_later_version_may_publish_a_phase_that_this_definition_does_not_know(
    collection: Collection,
) -> None:
    stored = collection.made()

    answer = collection.patch(stored, "/status", status={"phase": "Migrating"})

    assert answer.accepted, answer.message


def _with(path: str, value: Any) -> dict[str, Any]:
    status = copy.deepcopy(STATUS)
    *parents, last = path.split(".")
    target: dict[str, Any] = status
    for parent in parents:
        target = target[parent]
    target[last] = value
    return status


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        pytest.param("observedGeneration", -2, "status.observedGeneration", id="a generation below -1"),
        pytest.param("usage.bytes", -1, "status.usage.bytes", id="negative bytes"),
        pytest.param("usage.bytes", "1Gi", "status.usage.bytes", id="bytes as a quantity"),
        pytest.param("usage.files", -1, "status.usage.files", id="a negative number of files"),
        pytest.param("usage.measuredAt", "yesterday", "status.usage.measuredAt", id="no time of measurement"),
        pytest.param("quarantine.bytes", -1, "status.quarantine.bytes", id="negative bytes of an archive"),
        pytest.param("quarantine.files", -1, "status.quarantine.files", id="a negative number of archived files"),
        pytest.param("quarantine.clean", "yes", "status.quarantine.clean", id="a word for clean"),
        pytest.param("quarantine.requestedAt", "now", "status.quarantine.requestedAt", id="no time of request"),
        pytest.param("quarantine.completedAt", "soon", "status.quarantine.completedAt", id="no time of completion"),
        pytest.param("conditions", [CONDITION, CONDITION], "status.conditions[1]", id="a condition twice"),
        pytest.param(
            "conditions",
            [{**CONDITION, "status": "Maybe"}],
            "status.conditions[0].status",
            id="an unknown status",
        ),
        pytest.param(
            "conditions",
            [{**CONDITION, "reason": "not a word"}],
            "status.conditions[0].reason",
            id="words as a reason",
        ),
        pytest.param("conditions", [{**CONDITION, "reason": ""}], "status.conditions[0].reason", id="no reason"),
        pytest.param(
            "conditions",
            [{**CONDITION, "reason": "R" * 1025}],
            "status.conditions[0].reason",
            id="a long reason",
        ),
        pytest.param("conditions", [{**CONDITION, "type": "T" * 317}], "status.conditions[0].type", id="a long type"),
        pytest.param(
            "conditions",
            [{**CONDITION, "message": "m" * 32769}],
            "status.conditions[0].message",
            id="a long message",
        ),
        pytest.param(
            "conditions",
            [{**CONDITION, "lastTransitionTime": "today"}],
            "status.conditions[0].lastTransitionTime",
            id="no time of transition",
        ),
        pytest.param(
            "conditions",
            [{**CONDITION, "observedGeneration": -1}],
            "status.conditions[0].observedGeneration",
            id="a condition of a negative generation",
        ),
    ],
)
def test_a_malformed_status_is_refused(collection: Collection, path: str, value: Any, field: str) -> None:
    stored = collection.made()

    answer = collection.patch(stored, "/status", status=_with(path, value))

    assert answer.code == 422
    assert field in answer.causes, answer.message


@pytest.mark.parametrize("missing", ["type", "status", "reason", "message", "lastTransitionTime"])
def test_a_condition_is_complete(collection: Collection, missing: str) -> None:
    stored = collection.made()
    condition = {key: value for key, value in CONDITION.items() if key != missing}

    answer = collection.patch(stored, "/status", status={"conditions": [condition]})

    assert answer.code == 422
    assert f"status.conditions[0].{missing}" in answer.causes, answer.message
