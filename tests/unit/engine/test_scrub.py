"""Scrubbing finds out when bits have rotted, at its pace, and goes on where it stopped."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_storage.engine.archives.scrub import Pace, Scrubber
from metrics_storage.engine.archives.store import ArchiveStore
from metrics_storage.engine.volume.volume import Role, Volume
from metrics_storage.errors import InterruptedByEndError, JournalError, VolumeError
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity, Uid
from metrics_storage.model.record import Record
from metrics_storage.model.scrubbing import Finding, Verdict
from tests.unit.engine.archive_site import UIDS, Site, flip, opened_site

WEEK = 7 * 86400.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path) as site:
        for number in range(3):
            site.archive(Identity("runners", f"runner-{number}", UIDS[number]))
        yield site


def scrubber(site: Site, rate: float = 1e12) -> Scrubber:
    return Scrubber(site.store, Pace(rate, threading.Event()), site.engine.find)


def finish(scrub: Scrubber) -> list[Finding]:
    return list(iter(scrub.step, None))


def test_a_round_reads_every_archive_once(site: Site) -> None:
    scrub = scrubber(site)
    scrub.begin_round()
    found = finish(scrub)
    assert [(one.path.split("_")[0], one.verdict) for one in found] == [
        ("runners/runner-0", Verdict.SOUND),
        ("runners/runner-1", Verdict.SOUND),
        ("runners/runner-2", Verdict.SOUND),
    ]
    assert scrub.state.archives == 3
    assert scrub.state.read_bytes == sum(path.stat().st_size for path in site.quarantine.glob("*/*.tar.gz"))
    assert not scrub.state.is_due(WEEK, time.time())
    assert scrub.state.is_due(WEEK, time.time() + WEEK + 1)
    assert scrub.state.is_due(WEEK, time.time() - 10 * 365 * 86400)


@pytest.mark.parametrize("suffix", [".tar.gz", MANIFEST_SUFFIX])
def test_one_rotten_bit_is_found_and_remembered_until_the_archive_is_mended(site: Site, suffix: str) -> None:
    stored = site.store.archives()[1]
    flip(site.file(stored, suffix))
    scrub = scrubber(site)
    scrub.begin_round()
    assert [one.verdict for one in finish(scrub)] == [Verdict.SOUND, Verdict.CORRUPT, Verdict.SOUND]
    assert scrub.state.corrupt == (stored.path,)
    again = scrubber(site)
    assert again.state.corrupt == (stored.path,)
    flip(site.file(stored, suffix))
    again.begin_round()
    assert {one.verdict for one in finish(again)} == {Verdict.SOUND}
    assert not again.state.corrupt


def test_archive_and_manifest_replaced_together_contradict_the_journal(site: Site) -> None:
    stored = site.store.archives()[0]

    def recorded(uid: Uid) -> Record | None:
        record = site.engine.find(uid)
        assert record is not None
        assert record.quarantine is not None
        assert record.quarantine.archive is not None
        if uid != stored.uid:
            return record
        other = replace(record.quarantine.archive, sha256="0" * 64)
        return replace(record, quarantine=replace(record.quarantine, archive=other))

    scrub = Scrubber(site.store, Pace(1e12, threading.Event()), recorded)
    scrub.begin_round()
    (bad, *rest) = finish(scrub)
    assert bad.verdict is Verdict.CORRUPT
    assert "they were replaced" in bad.problem
    assert {one.verdict for one in rest} == {Verdict.SOUND}


def test_a_journal_that_cannot_be_read_does_not_hold_scrubbing_up(site: Site) -> None:
    def recorded(_: Uid) -> Record | None:
        raise JournalError("unreadable")

    scrub = Scrubber(site.store, Pace(1e12, threading.Event()), recorded)
    scrub.begin_round()
    assert len(finish(scrub)) == 3


def test_an_interrupted_round_goes_on_after_a_restart(site: Site) -> None:
    first = scrubber(site)
    first.begin_round()
    first.step()
    second = scrubber(site)
    assert second.state.is_due(WEEK, time.time())
    second.begin_round()
    assert [one.path.split("_")[0] for one in finish(second)] == ["runners/runner-1", "runners/runner-2"]


def test_what_a_person_prunes_meanwhile_is_not_corrupt(site: Site) -> None:
    scrub = scrubber(site)
    scrub.begin_round()
    for stored in site.store.archives():
        site.store.remove(stored, {})
    assert {one.verdict for one in finish(scrub)} == {Verdict.GONE}
    scrub.count()
    assert (scrub.state.archives, scrub.state.corrupt) == (0, ())


def test_a_lost_half_is_corrupt(site: Site) -> None:
    site.file(site.store.archives()[2], MANIFEST_SUFFIX).unlink()
    scrub = scrubber(site)
    scrub.begin_round()
    assert [one.verdict for one in finish(scrub)].count(Verdict.CORRUPT) == 1
    assert scrub.state.archives == 2


def test_a_volume_that_is_taken_away_makes_nothing_corrupt(site: Site) -> None:
    scrub = scrubber(site)
    scrub.begin_round()
    site.quarantine.rename(site.root / "unmounted")
    site.quarantine.mkdir()
    with pytest.raises(VolumeError):
        scrub.step()
    assert scrub.state.corrupt == ()


def test_a_shortage_of_descriptors_makes_nothing_corrupt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, os.strerror(24))

    scrub = scrubber(site)
    scrub.begin_round()
    with monkeypatch.context() as patch:
        patch.setattr(ArchiveStore, "verify", fail)
        with pytest.raises(OSError, match="Too many open files"):
            scrub.step()
    assert [one.verdict for one in finish(scrub)] == [Verdict.SOUND] * 3


def test_the_pace_is_kept_and_can_be_interrupted() -> None:
    stop = threading.Event()
    hold = Pace(1_000_000, stop).begin()
    started = time.monotonic()
    hold(50_000, 0)
    hold(60_000, 10)
    assert 0.1 <= time.monotonic() - started < 1
    stop.set()
    with pytest.raises(InterruptedByEndError):
        hold(10**12, 0)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"after": 1, "corrupt": 2}', b'{"unknown": 1}'],
    ids=["empty", "cut", "list", "types", "more"],
)
def test_a_damaged_note_of_its_own_begins_the_round_anew(site: Site, data: bytes) -> None:
    (site.quarantine / ".metrics-storage" / "scrub.json").write_bytes(data)
    scrub = scrubber(site)
    scrub.begin_round()
    assert len(finish(scrub)) == 3


def test_an_unreadable_note_of_its_own_does_not_keep_the_operator_from_starting(site: Site) -> None:
    (site.quarantine / ".metrics-storage" / "scrub.json").mkdir()
    scrub = scrubber(site)
    scrub.begin_round()
    assert len(finish(scrub)) == 3


def test_scrubbing_needs_no_lock_of_the_quarantine_volume(site: Site) -> None:
    with Volume(site.quarantine, Role.QUARANTINE, initialise=False) as volume:
        volume.lock()
        scrub = scrubber(site)
        scrub.begin_round()
        assert len(finish(scrub)) == 3
