"""How a MetricsStorage is read: what asks for quarantine, and whose status it is."""

from typing import Any

import pytest

from metrics_storage.model.resource import StorageResource
from metrics_storage.storage.resource_view import ResourceView

UID = "0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11"
OTHER = "7a1de1a2-0c6f-4a0c-8a36-0a8f6a1f9b22"
QUARANTINE = {"reason": "not JSON", "requestedAt": "2026-01-01T00:00:00Z"}


def body(annotation: object = None, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """A MetricsStorage as an API server has it."""
    metadata = {"name": "runner-0", "namespace": "runners", "uid": UID, "generation": 1}
    return {
        "metadata": {**metadata, "annotations": {"metricsstorage.dev/quarantine": annotation}},
        "status": status,
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("not JSON", "not JSON", id="words"),
        pytest.param(" ", "no reason given", id="a blank"),
        pytest.param("\t\n", "\N{REPLACEMENT CHARACTER}" * 2, id="white space that no terminal shows"),
        pytest.param(" too large ", " too large ", id="words between blanks"),
        pytest.param("\x1b[2J", "\N{REPLACEMENT CHARACTER}[2J", id="an escape sequence"),
        pytest.param("r" * 2000, "r" * 1024, id="long"),
        pytest.param(False, "False", id="no string"),
        pytest.param(0, "0", id="a number"),
    ],
)
def test_operator_and_library_read_one_request_out_of_an_annotation(value: object, reason: str | None) -> None:
    provided = body(value, {"uid": UID, "path": "/srv/runners/runner-0"})

    assert StorageResource(provided).quarantine_reason == reason
    assert ResourceView(provided).quarantine_requested is (reason is not None)
    assert ResourceView(provided).in_service is (reason is None)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"uid": UID}, id="its uid"),
        pytest.param({"volumeName": f"ms-{UID}"}, id="its volume"),
        pytest.param({"path": f"/srv/runners/runner-0_{UID}"}, id="its directory"),
        pytest.param({"uid": UID, "volumeName": f"ms-{OTHER}"}, id="its uid beside another volume"),
        pytest.param({"phase": "Pending"}, id="nobody"),
    ],
)
def test_a_status_of_its_own_counts(status: dict[str, Any]) -> None:
    resource = StorageResource(body(status={**status, "quarantine": QUARANTINE}))

    assert resource.status["quarantine"] == QUARANTINE
    assert resource.is_flagged


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"uid": OTHER}, id="another uid"),
        pytest.param({"volumeName": f"ms-{OTHER}"}, id="another volume"),
        pytest.param({"path": f"/srv/runners/runner-0_{OTHER}"}, id="another directory"),
        pytest.param({"uid": OTHER, "volumeName": f"ms-{UID}"}, id="another uid beside its volume"),
    ],
)
def test_a_status_of_another_life_counts_for_nothing(status: dict[str, Any]) -> None:
    conditions = [
        {"type": kind, "status": "True", "reason": "Quarantined", "message": "archived", "observedGeneration": 1}
        for kind in ("Ready", "Quarantined", "Stalled")
    ]
    restored = body(status={"path": "/srv", **status, "quarantine": QUARANTINE, "conditions": conditions})
    look = ResourceView(restored)

    assert StorageResource(restored).status == {}
    assert not StorageResource(restored).is_flagged
    assert not any((look.quarantine_requested, look.in_service, look.ready, look.archived, look.stall))


@pytest.mark.parametrize("field", ["annotations", "finalizers"])
def test_what_is_null_is_absent(field: str) -> None:
    resource = body()
    resource["metadata"][field] = None

    assert not StorageResource(resource).is_flagged
    assert not StorageResource(resource).finalized
