"""Journal entries survive JSON, and what is not understood is refused."""

from typing import Any

import pytest

from metrics_storage.errors import JournalError
from metrics_storage.model.record import Record
from tests.unit.model.test_status import DONE, LATCHED, RECORD


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
        pytest.param({"spec": None}, id="no spec"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(JournalError):
        Record.from_json({**RECORD.to_json(), **change})
