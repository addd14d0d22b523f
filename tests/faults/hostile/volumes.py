"""Volumes that go away, come back as others, lose their marker or are full, at every step of a life."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import MetricsStorageError, VolumeError, VolumeFullError
from metrics_storage.model.record import Phase
from tests.faults.evidence import against_facts, facts
from tests.faults.hostile.rack import PRIVATE, ROLES, TROUBLES, Rack

STEPS: Final = ("ensure", "measure", "latch", "snapshot", "archive", "remove", "forget")
_ON_QUARANTINE: Final = frozenset({"snapshot", "archive", "remove"})
"""Steps that need the quarantine volume; the others may go on without it."""


@dataclass(slots=True)
class Report:
    """Steps that were tried without their volume, and violations."""

    tried: int = 0
    problems: list[str] = field(default_factory=list)


def run_guards(root: Path) -> Report:
    """Every trouble with every volume at every step, with an engine that goes on and with one that restarts."""
    report = Report()
    for number, name in enumerate(TROUBLES):
        for role in ROLES:
            rack = Rack(root / f"{number}-{role}")
            try:
                for step in STEPS:
                    _try(report, rack, role, step, name)
            except (MetricsStorageError, AssertionError, OSError) as exc:
                report.problems.append(f"{role} volume {name}, {step}: {type(exc).__name__}: {exc}")
            finally:
                rack.close()
    return report


def _try(report: Report, rack: Rack, role: Role, step: str, name: str) -> None:
    trouble = TROUBLES[name]
    needed = role is Role.STORAGE or step in _ON_QUARANTINE
    # The directory is frozen before the quarantine volume is looked at, which loses nothing.
    freezing = step == "archive" and role is Role.QUARANTINE
    before = _state(rack, journal=not freezing)
    with trouble(rack, role):
        if needed:
            report.tried += 1
            try:
                rack.step(step)
                report.problems.append(f"{role} volume {name}: {step} went on")
            except VolumeError:
                pass
            _require_restart_refused(report, rack, role, name)
    if needed and _state(rack, journal=not freezing) != before:
        report.problems.append(f"{role} volume {name}: {step} changed something")
    rack.engine = rack.open() if step in ("latch", "archive") else rack.engine
    rack.step(step)


def _state(rack: Rack, *, journal: bool) -> tuple[object, ...]:
    """Everything that a step without its volume must leave alone."""
    return rack.journal() if journal else b"", rack.source(), rack.archives(), rack.others()


def _require_restart_refused(report: Report, rack: Rack, role: Role, name: str) -> None:
    """A second engine that starts meanwhile does not even open; but another valid volume it cannot tell."""
    if name in ("swapped for another volume", "with another's marker"):
        return
    try:
        Volume(rack.path(role), role, initialise=False).close()
        report.problems.append(f"{role} volume {name} is opened after a restart")
    except VolumeError:
        report.tried += 1


def run_interruptions(root: Path) -> Report:
    """Volumes that go away in the middle of an archive: nothing is lost, and nothing lands elsewhere."""
    report = Report()
    for number, (name, role) in enumerate((name, role) for name in ("unmounted", "swapped") for role in ROLES):
        rack = Rack(root / f"middle-{number}")
        try:
            report.tried += 1
            _interrupt(report, rack, role, swapped=name == "swapped")
        except (MetricsStorageError, AssertionError, OSError) as exc:
            report.problems.append(f"{role} volume {name} in the middle: {type(exc).__name__}: {exc}")
        finally:
            rack.close()
    return report


def _interrupt(report: Report, rack: Rack, role: Role, *, swapped: bool) -> None:
    for step in STEPS[:3]:
        rack.step(step)
    source, others = rack.source(), rack.others()
    gone: list[Role] = []

    def disappear(_bytes: int, _entries: int) -> None:
        if not gone:
            gone.append(role)
            rack.unmount(role)
            if swapped:
                rack.mount(role, "others")

    with suppress(MetricsStorageError):
        rack.engine.archive(rack.identity, disappear)
    try:
        rack.engine.remove(rack.identity)
        report.problems.append(f"removed although the {role} volume is away")
    except MetricsStorageError:
        pass
    if swapped:
        rack.unmount(role)
    if os.listdir(rack.path(role)) or rack.others() != others or rack.source() != source:
        report.problems.append(f"{role} volume away in the middle: written elsewhere, or the source changed")
    rack.mount(role)
    rack.engine = rack.open()
    _finish(report, rack, source)


def run_full(root: Path) -> Report:
    """A quarantine volume without room, in bytes and in inodes, from the start and from the middle on."""
    report = Report()
    for number, (what, middle) in enumerate((what, middle) for what in ("bytes", "inodes") for middle in (False, True)):
        rack = Rack(root / f"full-{number}", "size=16m,nr_inodes=64")
        try:
            report.tried += 1
            _fill_up(report, rack, what, middle=middle)
        except (MetricsStorageError, OSError) as exc:
            report.problems.append(f"full in {what}, middle {middle}: {type(exc).__name__}: {exc}")
        finally:
            rack.close()
    return report


def _fill_up(report: Report, rack: Rack, what: str, *, middle: bool) -> None:
    for step in STEPS[:3]:
        rack.step(step)
    source = rack.source()
    fillers = rack.path(Role.QUARANTINE, "kept") / "filler"
    fillers.mkdir()

    def fill(_bytes: int = 0, _entries: int = 0) -> None:
        with suppress(OSError):
            for number in range(10_000):
                with open(fillers / str(number), "wb", buffering=0) as file:
                    while what == "bytes":
                        file.write(bytes(1 << 16))

    if not middle:
        fill()
    try:
        rack.engine.archive(rack.identity, fill if middle else None)
        report.problems.append(f"archived on a volume that is full in {what}, middle {middle}")
    except VolumeFullError:
        pass
    if rack.source() != source or rack.archives():
        report.problems.append(f"full in {what}, middle {middle}: the source changed, or an archive was committed")
    if os.listdir(rack.path(Role.QUARANTINE) / PRIVATE / "incoming"):
        report.problems.append(f"full in {what}, middle {middle}: something is left in incoming")
    for filler in fillers.iterdir():
        filler.unlink()
    fillers.rmdir()
    _finish(report, rack, source)


def _finish(report: Report, rack: Rack, source: facts.Facts) -> None:
    """With the right volumes and enough room everything goes on to its end."""
    record = rack.engine.archive(rack.identity)
    if record.phase is not Phase.VERIFIED or rack.source() != source:
        report.problems.append(f"is {record.phase} afterwards, or the source changed")
    newest = rack.archives()[-1]
    found = against_facts.read(newest)
    report.problems += found.problems + against_facts.compare(found, source)
    if rack.engine.remove(rack.identity).phase is not Phase.GONE or rack.source():
        report.problems.append("is not gone at the end")
