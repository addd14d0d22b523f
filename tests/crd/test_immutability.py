"""What an existing object may still change: its deletion policy."""

from typing import Any

import pytest

from tests.crd.collection import Collection

SPEC = {
    "capacity": "5Gi",
    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
    "directory": {"owner": "2000:3000", "mode": "2770"},
    "nodeSelector": {"pool": "runners"},
    "volumeBindingMode": "WaitForFirstConsumer",
    "deletionPolicy": "Delete",
}

CHANGES = [
    pytest.param(
        {"capacity": "6Gi"},
        "spec.capacity",
        "capacity is immutable: set it back to 5Gi, or delete this MetricsStorage and create it anew",
        id="capacity",
    ),
    pytest.param(
        {"accessModes": ["ReadWriteOnce"]},
        "spec.accessModes",
        "accessModes are immutable: set them back to [ReadWriteOnce, ReadOnlyMany], "
        "or delete this MetricsStorage and create it anew",
        id="accessModes",
    ),
    pytest.param(
        {"directory": {"owner": "2001:3000", "mode": "2770"}},
        "spec.directory.owner",
        "owner is immutable: set it back to 2000:3000, or delete this MetricsStorage and create it anew",
        id="owner",
    ),
    pytest.param(
        {"directory": {"owner": "2000:3000", "mode": "0770"}},
        "spec.directory.mode",
        "mode is immutable: set it back to 2770, or delete this MetricsStorage and create it anew",
        id="mode",
    ),
    pytest.param(
        {"nodeSelector": {"pool": "other"}},
        "spec.nodeSelector",
        "nodeSelector is immutable: set it back to its present value, or delete this MetricsStorage and create it anew",
        id="nodeSelector",
    ),
    pytest.param(
        {"volumeBindingMode": "Immediate"},
        "spec.volumeBindingMode",
        "volumeBindingMode is immutable: set it back to WaitForFirstConsumer, "
        "or delete this MetricsStorage and create it anew",
        id="volumeBindingMode",
    ),
]


@pytest.mark.parametrize(("change", "field", "message"), CHANGES)
def test_a_replaced_value_is_refused_with_the_present_one(
    collection: Collection, change: dict[str, Any], field: str, message: str
) -> None:
    stored = collection.made(spec=SPEC)

    answer = collection.put(stored, spec={**SPEC, **change})

    assert answer.code == 422
    assert list(answer.causes) == [field]
    assert message in answer.causes[field][0]
    assert collection.get(stored)["spec"] == SPEC


@pytest.mark.parametrize(("change", "field", "message"), CHANGES)
def test_a_patched_value_is_refused_with_the_present_one(
    collection: Collection, change: dict[str, Any], field: str, message: str
) -> None:
    stored = collection.made(spec=SPEC)

    answer = collection.patch(stored, spec=change)

    assert answer.code == 422
    assert list(answer.causes) == [field]
    assert message in answer.causes[field][0]


@pytest.mark.parametrize(
    ("removal", "fields"),
    [
        pytest.param({"capacity": None}, ["spec.capacity"], id="capacity"),
        pytest.param({"accessModes": None}, ["spec.accessModes"], id="accessModes"),
        pytest.param({"directory": {"owner": None}}, ["spec.directory.owner"], id="owner"),
        pytest.param({"directory": {"mode": None}}, ["spec.directory.mode"], id="mode"),
        pytest.param({"nodeSelector": None}, ["spec.nodeSelector"], id="nodeSelector"),
        pytest.param({"volumeBindingMode": None}, ["spec.volumeBindingMode"], id="volumeBindingMode"),
        pytest.param({"directory": None}, ["spec.directory.mode", "spec.directory.owner"], id="directory"),
    ],
)
def test_taking_a_value_out_is_a_change_to_the_default(
    collection: Collection, removal: dict[str, Any], fields: list[str]
) -> None:
    stored = collection.made(spec=SPEC)

    answer = collection.patch(stored, spec=removal)

    assert answer.code == 422
    assert sorted(answer.causes) == fields


def test_taking_the_whole_spec_out_is_a_change_to_the_defaults(collection: Collection) -> None:
    stored = collection.made(spec=SPEC)

    answer = collection.patch(stored, spec=None)

    assert answer.code == 422
    assert sorted(answer.causes) == [
        "spec.accessModes",
        "spec.capacity",
        "spec.directory.mode",
        "spec.directory.owner",
        "spec.nodeSelector",
        "spec.volumeBindingMode",
    ]


@pytest.mark.parametrize(
    "addition",
    [
        pytest.param({"capacity": "2Gi"}, id="capacity"),
        pytest.param({"accessModes": ["ReadWriteMany"]}, id="accessModes"),
        pytest.param({"directory": {"owner": "0:0"}}, id="owner"),
        pytest.param({"directory": {"mode": "0700"}}, id="mode"),
        pytest.param({"nodeSelector": {"pool": "runners"}}, id="nodeSelector"),
        pytest.param({"volumeBindingMode": "WaitForFirstConsumer"}, id="volumeBindingMode"),
    ],
)
def test_a_value_cannot_be_added_where_the_default_was_used(collection: Collection, addition: dict[str, Any]) -> None:
    stored = collection.made()

    answer = collection.patch(stored, spec=addition)

    assert answer.code == 422


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"capacity": "1Gi"}, id="the default written out"),
        pytest.param({}, {"directory": {"owner": "1000:1000", "mode": "0770"}}, id="the default directory written out"),
        pytest.param({"capacity": "1Gi"}, {}, id="a written default left out"),
        pytest.param({"capacity": 1073741824}, {"capacity": "1073741824"}, id="a number in quotes"),
        pytest.param(
            {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]},
            {"accessModes": ["ReadOnlyMany", "ReadWriteOnce"]},
            id="access modes in another order",
        ),
    ],
)
def test_another_spelling_of_the_same_spec_is_accepted(
    collection: Collection, before: dict[str, Any], after: dict[str, Any]
) -> None:
    stored = collection.made(spec=before)

    answer = collection.put(stored, spec=after)

    assert answer.accepted, answer.message


@pytest.mark.parametrize("after", ["Delete", "Quarantine", "Retain"])
@pytest.mark.parametrize("before", ["Delete", "Quarantine", "Retain"])
def test_the_deletion_policy_may_become_any_other(collection: Collection, before: str, after: str) -> None:
    stored = collection.made(spec={"deletionPolicy": before})

    answer = collection.patch(stored, spec={"deletionPolicy": after})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["deletionPolicy"] == after


def test_annotations_and_labels_may_change(collection: Collection) -> None:
    stored = collection.made(spec=SPEC)

    answer = collection.patch(
        stored,
        metadata={"annotations": {"metricsstorage.dev/quarantine": "too large"}, "labels": {"team": "a"}},
    )

    assert answer.accepted, answer.message
    assert answer.body["metadata"]["annotations"] == {"metricsstorage.dev/quarantine": "too large"}
    assert answer.body["metadata"]["generation"] == 1
