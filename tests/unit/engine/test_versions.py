"""Journal entries that another version wrote go through every step of this one, and lose nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metrics_storage.engine.lifecycle.engine import StorageEngine
from metrics_storage.errors import JournalError
from metrics_storage.model.identity import Identity
from metrics_storage.model.record import Phase
from metrics_storage.model.spec import StorageSpec
from tests.unit.engine.lives import IDENTITY, NOW, SPEC, archives, live, private

STEPS: dict[str, Callable[[StorageEngine], Any]] = {
    "create": lambda engine: engine.ensure(IDENTITY, SPEC),
    "fill": lambda engine: (live(engine) / "metrics.json").write_text("{"),
    "measure": lambda engine: engine.measure(IDENTITY),
    "latch": lambda engine: engine.latch(IDENTITY, "not JSON", NOW),
    "snapshot": lambda engine: engine.snapshot(IDENTITY),
    "archive": lambda engine: engine.archive(IDENTITY),
    "condemn": lambda engine: engine.condemn(IDENTITY),
    "remove": lambda engine: engine.remove(IDENTITY),
}
NEWER = {"since": {"later": [1, None, {"deep": "er"}]}}


@pytest.mark.parametrize("upgraded_after", list(STEPS))
def test_a_downgrade_in_the_middle_of_a_life_keeps_what_the_newer_version_wrote(
    engine: StorageEngine, upgraded_after: str
) -> None:
    levels: set[str] = set()
    for name, step in STEPS.items():
        step(engine)
        if name == upgraded_after:
            entry(engine).write_text(json.dumps(as_newer(json.loads(entry(engine).read_text()), levels)))
            assert {"", "identity", "spec"} <= levels
        found: dict[str, Any] = json.loads(entry(engine).read_text())
        assert all(at(found, level)["newer"] == NEWER for level in levels)
    record = engine.find(IDENTITY.uid)
    assert record is not None
    assert record.phase is Phase.GONE
    assert len(archives(engine)) == 2
    engine.forget(IDENTITY.uid)
    assert not entry(engine).exists()


@pytest.mark.parametrize("phase", ["Provisioning", "Provisioned", "latched", "Frozen"])
def test_an_entry_of_the_first_version_goes_through_every_later_step(engine: StorageEngine, phase: str) -> None:
    engine.ensure(IDENTITY, SPEC)
    (live(engine) / "metrics.json").write_text("{")
    inode = live(engine).stat().st_ino
    if phase == "Frozen":
        live(engine).rename(private(engine) / "frozen" / IDENTITY.uid)
    latched = {"reason": "x", "requested_at": NOW, "attempt": 0, "unclean": 0, "archive": None, "provisional": None}
    first = {
        "format": 1,
        "identity": {"namespace": IDENTITY.namespace, "name": IDENTITY.name, "uid": IDENTITY.uid},
        "spec": {"capacity": "1Gi", "access_modes": ["ReadWriteOnce"], "owner": SPEC.owner, "mode": "0770"},
        "phase": "Provisioned" if phase == "latched" else phase,
        "inode": None if phase == "Provisioning" else inode,
        "hadContent": None,
        "quarantine": None if phase in ("Provisioning", "Provisioned") else latched,
    }
    entry(engine).write_text(json.dumps(first))
    if phase != "Frozen":
        assert engine.ensure(IDENTITY, SPEC).record.inode == inode
        assert engine.latch(IDENTITY, "x", NOW).quarantine is not None
    assert engine.archive(IDENTITY).phase is Phase.VERIFIED
    assert engine.remove(IDENTITY).phase is Phase.GONE
    assert len(archives(engine)) == 1


@pytest.mark.parametrize("where", ["quarantine", "archive", "provisional"])
def test_what_is_unknown_inside_a_quarantine_does_not_stop_it(engine: StorageEngine, where: str) -> None:
    engine.ensure(IDENTITY, SPEC)
    engine.latch(IDENTITY, "x", NOW)
    engine.snapshot(IDENTITY)
    engine.archive(IDENTITY)
    data = json.loads(entry(engine).read_text())
    (data["quarantine"] if where == "quarantine" else data["quarantine"][where])["signature"] = "abc"
    entry(engine).write_text(json.dumps(data))
    assert engine.remove(IDENTITY).phase is Phase.GONE


@pytest.mark.parametrize("change", [{"phase": "Signed"}, {"format": 2}], ids=["phase", "format"])
@pytest.mark.parametrize("latched", [True, False], ids=["latched", "in service"])
def test_an_unknown_phase_or_format_keeps_entry_and_directory_as_they_are(
    engine: StorageEngine, change: dict[str, Any], latched: bool
) -> None:
    engine.ensure(IDENTITY, SPEC)
    if latched:
        engine.latch(IDENTITY, "x", NOW)
    (live(engine) / "metrics.json").write_text("{")
    text = json.dumps({**json.loads(entry(engine).read_text()), **change})
    entry(engine).write_text(text)
    for step in (engine.measure, engine.archive, engine.snapshot, engine.condemn, engine.remove, engine.retain):
        with pytest.raises(JournalError, match="Its directory is kept; run a version that can read it"):
            step(IDENTITY)
    with pytest.raises(JournalError):
        engine.ensure(IDENTITY, SPEC)
    with pytest.raises(JournalError):
        engine.forget(IDENTITY.uid)
    assert entry(engine).read_text() == text
    assert (live(engine) / "metrics.json").read_text() == "{"


def test_a_field_that_a_newer_specification_has_does_not_look_like_a_change(engine: StorageEngine) -> None:
    engine.ensure(IDENTITY, SPEC)
    data = json.loads(entry(engine).read_text())
    data["spec"]["volumeBindingMode"] = "WaitForFirstConsumer"
    entry(engine).write_text(json.dumps(data))
    assert engine.ensure(IDENTITY, StorageSpec(owner=SPEC.owner)).record.phase is Phase.PROVISIONED


def entry(engine: StorageEngine, identity: Identity = IDENTITY) -> Path:
    return private(engine) / "journal" / f"{identity.uid}.json"


def as_newer(data: dict[str, Any], levels: set[str], level: str = "") -> dict[str, Any]:
    """An entry with a field more at every level, and the names of the levels that got one."""
    levels.add(level)
    inner = {
        name: as_newer(value, levels, f"{level}.{name}" if level else name)
        for name, value in data.items()
        if isinstance(value, dict)
    }
    return {**data, **inner, "newer": NEWER}


def at(data: dict[str, Any], level: str) -> dict[str, Any]:
    for name in level.split(".") if level else ():
        data = data[name]
    return data
