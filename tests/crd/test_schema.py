"""What a spec may say: every rule of the schema with values on both of its sides."""

from typing import Any

import pytest

from tests.crd.collection import Collection

CAPACITIES = [
    "1",
    "01",
    "1k",
    "1M",
    "1G",
    "1T",
    "1P",
    "1E",
    "1Ki",
    "1Mi",
    "1Gi",
    "1Ti",
    "1Pi",
    "1Ei",
    "1.5Gi",
    "0.1G",
]

NOT_CAPACITIES = {
    "nothing": "",
    "only a suffix": "Gi",
    "a negative quantity": "-1Gi",
    "a sign": "+1Gi",
    "thousandths of a byte": "500m",
    "an exponent": "1e9",
    "an upper-case kilo": "1K",
    "a lower-case kibi": "1ki",
    "bytes spelled out": "1GiB",
    "a space": "1 Gi",
    "a trailing newline": "1Gi\n",
    "no digit before the point": ".5Gi",
    "no digit behind the point": "1.Gi",
    "a word": "plenty",
    "33 characters": "1" * 33,
}


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_a_capacity_is_a_quantity_of_bytes(collection: Collection, capacity: str) -> None:
    answer = collection.create(spec={"capacity": capacity})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["capacity"] == capacity


def test_a_capacity_may_be_a_number_of_bytes_without_quotes(collection: Collection) -> None:
    answer = collection.create(spec={"capacity": 1073741824})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["capacity"] == 1073741824


@pytest.mark.parametrize("capacity", NOT_CAPACITIES.values(), ids=NOT_CAPACITIES.keys())
def test_a_capacity_of_another_form_is_refused(collection: Collection, capacity: str) -> None:
    answer = collection.create(spec={"capacity": capacity})

    assert answer.code == 422
    assert "spec.capacity" in answer.causes


@pytest.mark.parametrize("capacity", ["0", "0Gi", "00", "0.0Gi"])
def test_a_capacity_of_zero_is_refused_with_an_example_of_a_good_one(collection: Collection, capacity: str) -> None:
    answer = collection.create(spec={"capacity": capacity})

    assert answer.code == 422
    assert any(
        "capacity must be more than zero: give the bytes that the runner may need, such as 1Gi or 500M" in message
        for message in answer.causes["spec.capacity"]
    )


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_number_below_one_byte_is_refused(collection: Collection, capacity: int) -> None:
    answer = collection.create(spec={"capacity": capacity})

    assert answer.code == 422
    assert "should be greater than or equal to 1" in answer.causes["spec.capacity"][0]


@pytest.mark.parametrize("capacity", [1.5, True, ["1Gi"], {"storage": "1Gi"}], ids=repr)
def test_a_capacity_is_nothing_but_a_string_or_an_integer(collection: Collection, capacity: Any) -> None:
    answer = collection.create(spec={"capacity": capacity})

    assert answer.code == 422
    assert "spec.capacity" in answer.causes


@pytest.mark.parametrize(
    "modes",
    [
        ["ReadWriteOnce"],
        ["ReadOnlyMany"],
        ["ReadWriteMany"],
        ["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"],
    ],
    ids="+".join,
)
def test_access_modes_are_those_that_directories_support(collection: Collection, modes: list[str]) -> None:
    answer = collection.create(spec={"accessModes": modes})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["accessModes"] == modes


@pytest.mark.parametrize(
    ("modes", "field", "message"),
    [
        pytest.param([], "spec.accessModes", "should have at least 1 items", id="none"),
        pytest.param(["ReadWriteOnce", "ReadWriteOnce"], "spec.accessModes[1]", "Duplicate value", id="one mode twice"),
        pytest.param(["ReadWriteOncePod"], "spec.accessModes[0]", "Unsupported value", id="a mode of CSI volumes"),
        pytest.param(["readWriteOnce"], "spec.accessModes[0]", "Unsupported value", id="another case"),
        pytest.param(
            ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"],
            "spec.accessModes",
            "Too many",
            id="four modes",
        ),
        pytest.param("ReadWriteOnce", "spec.accessModes", "must be of type array", id="no list"),
    ],
)
def test_other_access_modes_are_refused(collection: Collection, modes: Any, field: str, message: str) -> None:
    answer = collection.create(spec={"accessModes": modes})

    assert answer.code == 422
    assert any(message in found for found in answer.causes[field]), answer.message


@pytest.mark.parametrize("policy", ["Delete", "Quarantine", "Retain"])
def test_a_deletion_policy_is_one_of_three(collection: Collection, policy: str) -> None:
    answer = collection.create(spec={"deletionPolicy": policy})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["deletionPolicy"] == policy


@pytest.mark.parametrize("policy", ["", "delete", "Recycle"], ids=repr)
def test_any_other_deletion_policy_is_refused_with_the_three(collection: Collection, policy: str) -> None:
    answer = collection.create(spec={"deletionPolicy": policy})

    assert answer.code == 422
    assert '"Delete", "Quarantine", "Retain"' in answer.causes["spec.deletionPolicy"][0]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"spec": "1Gi"}, "spec", id="spec"),
        pytest.param({"spec": {"directory": "1000:1000"}}, "spec.directory", id="directory"),
        pytest.param({"spec": {"directory": {"owner": 1000}}}, "spec.directory.owner", id="owner"),
        pytest.param({"spec": {"deletionPolicy": True}}, "spec.deletionPolicy", id="policy"),
        pytest.param({"spec": {"nodeSelector": "node-1"}}, "spec.nodeSelector", id="node selector"),
    ],
)
def test_a_value_of_another_type_is_refused(collection: Collection, fields: dict[str, Any], field: str) -> None:
    answer = collection.create(**fields)

    assert answer.code == 422
    assert "must be of type" in answer.causes[field][0]


def test_fields_that_nobody_defined_are_not_stored(collection: Collection) -> None:
    answer = collection.create(spec={"path": "/etc", "directory": {"path": "../.."}})

    assert answer.accepted, answer.message
    assert sorted(answer.body["spec"]) == [
        "accessModes",
        "capacity",
        "deletionPolicy",
        "directory",
        "nodeSelector",
        "volumeBindingMode",
    ]
    assert sorted(answer.body["spec"]["directory"]) == ["mode", "owner"]


@pytest.mark.parametrize(
    "name", ["r", "runner.example.com", "a" * 253], ids=["one letter", "with dots", "253 characters"]
)
def test_a_name_is_whatever_a_claim_may_be_called(collection: Collection, name: str) -> None:
    answer = collection.create(name=name)

    assert answer.accepted, answer.message


@pytest.mark.parametrize(
    "name",
    ["Runner", "runner_0", "-runner", "runner..0", "a" * 254],
    ids=["capital", "underscore", "leading dash", "two dots", "254 characters"],
)
def test_a_name_that_a_claim_cannot_have_is_refused(collection: Collection, name: str) -> None:
    answer = collection.create(name=name)

    assert answer.code == 422
    assert "metadata.name" in answer.causes
