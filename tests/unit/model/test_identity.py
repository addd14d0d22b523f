"""Names on disk are built from valid identities alone."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metrics_storage.errors import InvalidSpecError
from metrics_storage.model.identity import ArchiveName, Identity, Uid

UID = Uid("0b0c7f5e-6a54-4b0e-9d53-1c9f0f5d3a11")


@pytest.mark.parametrize(
    ("namespace", "name", "uid"),
    [
        pytest.param("..", "runner-0", UID, id="namespace is the parent"),
        pytest.param("a/b", "runner-0", UID, id="namespace with a slash"),
        pytest.param("n" * 64, "runner-0", UID, id="namespace too long"),
        pytest.param("runners", "", UID, id="empty name"),
        pytest.param("runners", "../../etc", UID, id="name leads out"),
        pytest.param("runners", "a..b", UID, id="empty label in the name"),
        pytest.param("runners", "Runner", UID, id="capital letters"),
        pytest.param("runners", "runner-0\n", UID, id="newline at the end"),
        pytest.param("runners", "n" * 254, UID, id="name too long"),
        pytest.param("runners", "runner-0", "", id="empty uid"),
        pytest.param("runners", "runner-0", "../" + UID[3:], id="uid leads out"),
        pytest.param("runners", "runner-0", UID.upper(), id="uid in capitals"),
        pytest.param("runners", "runner-0", UID + "\n", id="uid with a newline"),
    ],
)
def test_what_no_api_server_issues_is_refused(namespace: str, name: str, uid: str) -> None:
    with pytest.raises(InvalidSpecError):
        Identity(namespace, name, Uid(uid))


def test_a_uid_that_was_read_without_types_is_checked() -> None:
    assert isinstance(Identity(**json.loads(f'{{"namespace": "a", "name": "b", "uid": "{UID}"}}')).uid, Uid)
    with pytest.raises(InvalidSpecError):
        Identity(**json.loads('{"namespace": "a", "name": "b", "uid": "../c"}'))


@given(st.text(max_size=60))
def test_what_is_parsed_is_a_uid_or_dropped(text: str) -> None:
    assert Uid.parse(text) is None
    assert Uid.parse(UID) == UID


def test_the_longest_name_gives_names_that_fit_and_keep_the_uid() -> None:
    identity = Identity("runners", "n" * 253, UID)
    names = [identity.directory_name, *ArchiveName.of(identity, 12345).files]
    assert all(len(name) <= 255 and UID in name for name in names)
    archive, manifest = ArchiveName.of(identity, 12345).files
    assert archive.removesuffix(".tar.gz") == manifest.removesuffix(".manifest.jsonl")


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=60) | st.uuids().map(str))
def test_no_text_at_all_gives_a_name_that_leads_out_of_its_directory(namespace: str, name: str, uid: str) -> None:
    try:
        identity = Identity(namespace, name, Uid(uid))
    except InvalidSpecError:
        return
    for part in (identity.namespace, identity.directory_name, *ArchiveName.of(identity, 1).files):
        assert "/" not in part
        assert part not in ("", ".", "..")
        assert not part.startswith(".")


@given(st.lists(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,5}[a-z0-9])?", fullmatch=True), min_size=2, max_size=2))
def test_no_two_attempts_share_a_name(names: list[str]) -> None:
    assume(all(".." not in name and ".-" not in name and "-." not in name for name in names))
    uids = (UID, Uid(f"1{UID[1:]}"))
    identities = [Identity("runners", name, uid) for name, uid in zip(names, uids, strict=True)]
    archives = [ArchiveName.of(identity, attempt) for identity in identities for attempt in (1, 2, 11)]
    found = [file for archive in archives for file in archive.files]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("attempt", [1, 10, 999_999_999])
@pytest.mark.parametrize("runner", ["r", "a.b-c", "n" * 253, "n" * 190 + "." + "n" * 62])
def test_the_names_of_an_archive_can_be_read_back(runner: str, attempt: int) -> None:
    name = ArchiveName.of(Identity("runners", runner, UID), attempt)
    for file in (*name.files, name.stem):
        assert ArchiveName.parse("runners", file) == name


@pytest.mark.parametrize(
    "file",
    ["", "x.tar.gz", "x_1.tar.gz", f"x_{UID}_0.tar.gz", f"x_{UID}_01", f"X_{UID}_1", f"_{UID}_1", f"../x_{UID}_1"],
)
def test_what_is_not_named_like_an_archive_is_none(file: str) -> None:
    assert ArchiveName.parse("runners", file) is None
