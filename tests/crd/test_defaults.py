"""What a spec says that says little."""

from typing import Any

import pytest

from tests.crd.collection import Collection

COMPLETE = {
    "capacity": "1Gi",
    "accessModes": ["ReadWriteOnce"],
    "directory": {"owner": "1000:1000", "mode": "0770"},
    "nodeSelector": {},
    "volumeBindingMode": "Immediate",
    "deletionPolicy": "Delete",
}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="no spec"),
        pytest.param({"spec": {}}, id="an empty spec"),
        pytest.param({"spec": {"directory": {}}}, id="an empty directory"),
        pytest.param({"spec": None}, id="a spec of null"),
        pytest.param(
            {"spec": {"capacity": None, "accessModes": None, "directory": None, "deletionPolicy": None}},
            id="fields of null",
        ),
        pytest.param({"spec": {"directory": {"owner": None, "mode": None}}}, id="a directory with fields of null"),
    ],
)
def test_what_is_left_out_is_filled_in(collection: Collection, fields: dict[str, Any]) -> None:
    answer = collection.create(**fields)

    assert answer.accepted, answer.message
    assert answer.body["spec"] == COMPLETE


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"capacity": "5Gi"}, {**COMPLETE, "capacity": "5Gi"}, id="capacity"),
        pytest.param(
            {"accessModes": ["ReadWriteMany"]},
            {**COMPLETE, "accessModes": ["ReadWriteMany"]},
            id="accessModes",
        ),
        pytest.param(
            {"directory": {"owner": "0:0"}},
            {**COMPLETE, "directory": {"owner": "0:0", "mode": "0770"}},
            id="owner",
        ),
        pytest.param(
            {"directory": {"mode": "2750"}},
            {**COMPLETE, "directory": {"owner": "1000:1000", "mode": "2750"}},
            id="mode",
        ),
        pytest.param(
            {"nodeSelector": {"pool": "runners"}}, {**COMPLETE, "nodeSelector": {"pool": "runners"}}, id="nodeSelector"
        ),
        pytest.param(
            {"volumeBindingMode": "WaitForFirstConsumer"},
            {**COMPLETE, "volumeBindingMode": "WaitForFirstConsumer"},
            id="volumeBindingMode",
        ),
        pytest.param({"deletionPolicy": "Retain"}, {**COMPLETE, "deletionPolicy": "Retain"}, id="deletionPolicy"),
    ],
)
def test_what_is_given_stays_as_it_was_given(
    collection: Collection, spec: dict[str, Any], expected: dict[str, Any]
) -> None:
    answer = collection.create(spec=spec)

    assert answer.accepted, answer.message
    assert answer.body["spec"] == expected


def test_a_new_object_never_looks_current(collection: Collection) -> None:
    created = collection.made()

    assert created["metadata"]["generation"] == 1
    assert created["status"] == {"observedGeneration": -1}
    assert collection.get(created)["status"] == {"observedGeneration": -1}
