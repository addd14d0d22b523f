"""Specs are refused by the same rules as the definition's schema, for servers that don't enforce it."""

from typing import Any

import pytest

from metrics_storage.errors import InvalidSpecError
from metrics_storage.model.spec import DeletionPolicy, StorageSpec, check_unchanged, parse_spec


def test_an_empty_spec_has_the_documented_defaults() -> None:
    storage, policy = parse_spec({})
    assert storage == StorageSpec("1Gi", ("ReadWriteOnce",), "1000:1000", "0770")
    assert policy is DeletionPolicy.DELETE


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"capacity": "500M"}, id="decimal suffix"),
        pytest.param({"capacity": 1073741824}, id="plain bytes"),
        pytest.param({"capacity": "1.5Gi"}, id="fraction"),
        pytest.param({"directory": {"owner": "root:root"}}, id="names"),
        pytest.param({"directory": {"owner": "0:4294967294"}}, id="largest id"),
        pytest.param({"directory": {"mode": "3777"}}, id="sticky and setgid"),
        pytest.param({"directory": {"mode": "700"}}, id="three digits"),
        pytest.param({"accessModes": ["ReadWriteMany", "ReadOnlyMany"]}, id="two access modes"),
        pytest.param({"deletionPolicy": "Retain"}, id="policy"),
    ],
)
def test_good_specs_are_taken(spec: dict[str, Any]) -> None:
    parse_spec(spec)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        pytest.param({"capacity": "0"}, "capacity", id="no capacity"),
        pytest.param({"capacity": "0.0Gi"}, "capacity", id="no capacity with a suffix"),
        pytest.param({"capacity": "-1Gi"}, "capacity", id="negative capacity"),
        pytest.param({"capacity": "much"}, "capacity", id="capacity in words"),
        pytest.param({"capacity": "1Gi\n"}, "capacity", id="capacity with a newline"),
        pytest.param({"capacity": ["1Gi"]}, "capacity", id="capacity in a list"),
        pytest.param({"accessModes": []}, "accessModes", id="no access mode"),
        pytest.param({"accessModes": ["Write"]}, "accessModes", id="unknown access mode"),
        pytest.param({"accessModes": ["ReadWriteOnce", "ReadWriteOnce"]}, "accessModes", id="access mode twice"),
        pytest.param({"accessModes": [1]}, "accessModes", id="access mode is a number"),
        pytest.param({"directory": "0770"}, "directory", id="directory is a string"),
        pytest.param({"directory": {"owner": "1000"}}, "owner", id="owner without group"),
        pytest.param({"directory": {"owner": "1000:1000:1"}}, "owner", id="owner with three parts"),
        pytest.param({"directory": {"owner": "-1:0"}}, "owner", id="negative owner"),
        pytest.param({"directory": {"owner": "4294967295:0"}}, "owner", id="owner that chown ignores"),
        pytest.param({"directory": {"owner": "a b:0"}}, "owner", id="owner with a space"),
        pytest.param({"directory": {"mode": "0999"}}, "mode", id="mode is not octal"),
        pytest.param({"directory": {"mode": "4770"}}, "mode", id="setuid"),
        pytest.param({"directory": {"mode": 504}}, "mode", id="mode is a number"),
        pytest.param({"deletionPolicy": "Maybe"}, "deletionPolicy", id="unknown policy"),
    ],
)
def test_bad_specs_are_refused_by_the_name_of_the_field(spec: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSpecError, match=named):
        parse_spec(spec)


def test_what_is_immutable_stays() -> None:
    with pytest.raises(InvalidSpecError, match=r"capacity is '1Gi' and cannot become '2Gi'.*create it anew"):
        check_unchanged(StorageSpec(), StorageSpec(capacity="2Gi"))


def test_access_modes_are_a_set() -> None:
    one, _ = parse_spec({"accessModes": ["ReadWriteMany", "ReadOnlyMany"]})
    other, _ = parse_spec({"accessModes": ["ReadOnlyMany", "ReadWriteMany"]})
    check_unchanged(one, other)


def test_a_spec_survives_json() -> None:
    spec = StorageSpec(access_modes=("ReadOnlyMany", "ReadWriteMany"), mode="2770")
    assert StorageSpec.from_json(spec.to_json()) == spec
