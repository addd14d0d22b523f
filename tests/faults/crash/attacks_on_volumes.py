"""Volumes that are unmounted, swapped or empty, and a second operator on them."""

import json
import shutil
from pathlib import Path

from tests.faults.crash import events
from tests.faults.crash.attack import DELETE, PRIVATE, QUARANTINE, Attack, during, was_said
from tests.faults.crash.events import Moment
from tests.faults.crash.history import Violation
from tests.faults.crash.lives import STRANGER


@during(DELETE)
def _storage_is_unmounted(attack: Attack) -> list[Violation]:
    return _unmount(attack, attack.case.history.storage)


@during(QUARANTINE)
def _quarantine_is_unmounted(attack: Attack) -> list[Violation]:
    return _unmount(attack, attack.case.history.quarantine, after="latch")


def _unmount(attack: Attack, volume: Path, after: str = "measure") -> list[Violation]:
    aside = attack.case.place / "aside"

    def unmount(_: Moment) -> None:
        volume.rename(aside)
        volume.mkdir()

    event = events.before(lambda moment: was_said(moment, after), unmount)
    # Whatever is opened through descriptors is the unmounted one; both are the volume as far as calls go.
    run = attack.case.live(attack.zygote, event, reading=True)
    found = [Violation("P7", f"went on although {volume.name} was unmounted")] if run.ended else []
    found += [Violation("P7", f"{path} was made on the empty mount point") for path in volume.iterdir()]
    shutil.rmtree(volume)
    aside.rename(volume)
    return found + attack.case.judge() + attack.case.converge(attack.zygote)


@during(DELETE)
def _storage_is_swapped(attack: Attack) -> list[Violation]:
    marker = attack.case.history.storage / PRIVATE / "volume.json"
    was = marker.read_text()

    def swap(_: Moment) -> None:
        marker.write_text(json.dumps(json.loads(was) | {"id": STRANGER}))

    event = events.before(lambda moment: was_said(moment, "measure"), swap)
    run = attack.case.live(attack.zygote, event, reading=True)
    found = attack.must_refuse(run, "P7", "storage has another marker")
    marker.write_text(was)
    return found + attack.case.converge(attack.zygote)


@during(DELETE)
def _an_empty_volume_is_mounted_at_the_next_start(attack: Attack) -> list[Violation]:
    """The marker is gone, other things are there: that is no new volume."""
    private = attack.case.history.storage / PRIVATE
    aside = attack.case.place / "aside"
    private.rename(aside)
    run = attack.case.live(attack.zygote)
    found = [Violation("P7", "a volume without its marker was used")] if run.ended or private.exists() else []
    shutil.rmtree(private, ignore_errors=True)
    aside.rename(private)
    return found + attack.case.converge(attack.zygote)


@during(DELETE)
def _the_volumes_change_places(attack: Attack) -> list[Violation]:
    storage, quarantine = attack.case.history.storage, attack.case.history.quarantine
    _exchange(storage, quarantine)
    run = attack.case.live(attack.zygote)
    _exchange(storage, quarantine)
    found = [Violation("P7", "storage was taken for quarantine")] if run.ended else []
    return found + attack.case.judge() + attack.case.converge(attack.zygote)


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name("exchanging")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@during(DELETE)
def _a_second_operator_starts(attack: Attack) -> list[Violation]:
    found: list[Violation] = []

    def start(_: Moment) -> None:
        second = attack.zygote.run(attack.case.job(()), fill=attack.case.fill)
        if second.ended:
            found.append(Violation("P8", "two operators had the same storage volume at once"))

    event = events.before(lambda moment: was_said(moment, "create"), start)
    run = attack.case.live(attack.zygote, event)
    return found + attack.judged(run) + attack.case.converge(attack.zygote)
