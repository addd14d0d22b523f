"""Journal entries survive JSON, what is not known is carried along, and what is not understood is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_storage.errors import JournalError
from metrics_storage.model.record import Phase, Record
from tests.unit.model.records import ARCHIVE, DONE, LATCHED, RECORD

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)
_UNKNOWN = st.dictionaries(st.text(max_size=8) | st.just("unknown"), _VALUES, max_size=3)
_BOTH = replace(LATCHED, quarantine=replace(DONE.quarantine, provisional=ARCHIVE)) if DONE.quarantine else LATCHED


@pytest.mark.parametrize("record", [RECORD, LATCHED, DONE], ids=["provisioned", "latched", "quarantined"])
def test_a_record_survives_json(record: Record) -> None:
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"format": 2}, id="a later format"),
        pytest.param({"phase": "Exploded"}, id="an unknown phase"),
        pytest.param({"identity": {"namespace": "..", "name": "x", "uid": "y"}}, id="a bad identity"),
        pytest.param({"quarantine": {"reason": "x"}}, id="an incomplete quarantine"),
        pytest.param({"quarantine": {"reason": "x", "requested_at": "t0", "archive": {}}}, id="an empty archive"),
        pytest.param({"quarantine": "x"}, id="a quarantine that is no object"),
        pytest.param({"spec": None}, id="no spec"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(JournalError):
        Record.from_json({**RECORD.to_json(), **change})


@pytest.mark.parametrize("data", [[], "x", None, 7])
def test_an_entry_that_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(JournalError, match="expected an object"):
        Record.from_json(data)


@pytest.mark.parametrize("record", [RECORD, LATCHED, DONE, _BOTH], ids=["provisioned", "latched", "gone", "both"])
@given(draw=st.data())
def test_fields_of_a_newer_version_are_carried_at_every_level(record: Record, draw: st.DataObject) -> None:
    entry = with_additions(record.to_json(), draw)
    read = Record.from_json(json.loads(json.dumps(entry)))
    assert read.to_json() == entry
    assert read.at(Phase.RETAINED).to_json() == {**entry, "phase": "Retained"}
    assert replace(read, inode=8, had_content=True).to_json() == {**entry, "inode": 8, "hadContent": True}
    assert replace(read, unknown={}).identity == record.identity
    assert read.spec == record.spec


def test_another_archive_does_not_inherit_what_is_not_known_about_an_older_one() -> None:
    entry = _BOTH.to_json()
    entry["quarantine"]["provisional"]["signature"] = "of the provisional one"
    read = Record.from_json(entry)
    assert read.quarantine is not None
    later = replace(read, quarantine=replace(read.quarantine, archive=ARCHIVE, provisional=ARCHIVE)).to_json()
    assert (
        later["quarantine"]["provisional"] == later["quarantine"]["archive"] == _BOTH.to_json()["quarantine"]["archive"]
    )


def with_additions(known: dict[str, Any], draw: st.DataObject) -> dict[str, Any]:
    """The object with fields that this version does not know, in it and in every object that it knows in it."""
    additions = {name: value for name, value in draw.draw(_UNKNOWN).items() if name not in known}
    inner = {name: with_additions(value, draw) for name, value in known.items() if isinstance(value, dict)}
    return {**additions, **known, **inner}
