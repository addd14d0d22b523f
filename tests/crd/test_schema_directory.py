"""Owner and mode of a directory: every rule of the schema with values on both of its sides."""

import pytest
import yaml

from tests.crd.collection import Collection

NOT_OWNERS = {
    "nothing": "",
    "a user alone": "1000",
    "no group": "1000:",
    "no user": ":1000",
    "three parts": "1000:1000:1000",
    "a dot between them": "1000.1000",
    "a negative number": "-1:-1",
    "a leading zero": "01000:1000",
    "eleven digits": "10000000000:0",
    "capitals": "Root:root",
    "a name that starts with a digit": "1user:users",
    "a user name of 33 characters": "a" * 33 + ":users",
    "a group name of 33 characters": "root:" + "a" * 33,
    "a path": "../etc:root",
    "a space": "root: root",
    "a trailing newline": "1000:1000\n",
    "another alphabet": "róot:root",
}
NOT_MODES = {
    "nothing": "",
    "two digits": "70",
    "five digits": "00770",
    "no octal digits": "0999",
    "an eight": "0780",
    "setuid": "4770",
    "setuid and setgid": "6770",
    "all three bits": "7777",
    "letters": "rwx",
    "Python's octal": "0o770",
    "a trailing newline": "770\n",
}


@pytest.mark.parametrize(
    "owner",
    [
        "0:0",
        "1000:1000",
        "4294967294:4294967294",
        "metrics:metrics",
        "1000:metrics",
        "metrics:1000",
        "_apt:www-data",
        "a:b_2",
        "a" * 32 + ":" + "b" * 32,
    ],
)
def test_an_owner_is_user_and_group_as_numbers_or_names(collection: Collection, owner: str) -> None:
    answer = collection.create(spec={"directory": {"owner": owner}})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["directory"]["owner"] == owner


@pytest.mark.parametrize("owner", NOT_OWNERS.values(), ids=NOT_OWNERS.keys())
def test_an_owner_of_another_form_is_refused(collection: Collection, owner: str) -> None:
    answer = collection.create(spec={"directory": {"owner": owner}})

    assert answer.code == 422
    assert "spec.directory.owner" in answer.causes


@pytest.mark.parametrize("owner", ["4294967295:0", "0:4294967295", "9999999999:1000", "root:4294967295"])
def test_an_id_that_the_kernel_takes_for_none_is_refused_with_the_range(collection: Collection, owner: str) -> None:
    answer = collection.create(spec={"directory": {"owner": owner}})

    assert answer.code == 422
    assert any(
        "owner must be user:group with ids from 0 to 4294967294" in message and "write for example 1000:1000" in message
        for message in answer.causes["spec.directory.owner"]
    )


@pytest.mark.parametrize("mode", ["0770", "770", "0000", "0777", "1777", "2770", "3770"])
def test_a_mode_is_octal_with_or_without_sticky_and_setgid(collection: Collection, mode: str) -> None:
    answer = collection.create(spec={"directory": {"mode": mode}})

    assert answer.accepted, answer.message
    assert answer.body["spec"]["directory"]["mode"] == mode


@pytest.mark.parametrize("mode", NOT_MODES.values(), ids=NOT_MODES.keys())
def test_a_mode_of_another_form_is_refused(collection: Collection, mode: str) -> None:
    answer = collection.create(spec={"directory": {"mode": mode}})

    assert answer.code == 422
    assert "spec.directory.mode" in answer.causes


def test_a_mode_longer_than_four_digits_is_refused_by_its_length(collection: Collection) -> None:
    answer = collection.create(spec={"directory": {"mode": "00770"}})

    assert answer.code == 422
    assert any("Too long" in message for message in answer.causes["spec.directory.mode"])


def test_a_mode_without_quotes_is_refused_because_yaml_reads_another_number(collection: Collection) -> None:
    spec = yaml.safe_load("directory: {mode: 0770}")

    answer = collection.create(spec=spec)

    assert spec == {"directory": {"mode": 504}}
    assert answer.code == 422
    assert "must be of type string" in answer.causes["spec.directory.mode"][0]
