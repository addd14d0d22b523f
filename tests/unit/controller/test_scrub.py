"""What scrubbing finds is told: in the log, as an event, and as numbers for Prometheus."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import generate_latest

from metrics_storage.controller.engine_api import Scrubber
from metrics_storage.controller.events import Events
from metrics_storage.controller.metrics import build_metrics
from metrics_storage.controller.scrub import Scrub
from metrics_storage.controller.sweep import Sweep
from metrics_storage.engine.host import LocalScrubber
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity
from metrics_storage.model.scrubbing import ScrubState
from tests.unit.engine.archive_site import RUNNER, Site, flip, opened_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path) as site:
        yield site


class Told(Events):
    """Keeps events in place of posting them."""

    def __init__(self) -> None:
        self.warnings: list[tuple[Identity, str, str]] = []

    async def warn(self, identity: Identity, reason: str, message: str) -> None:
        self.warnings.append((identity, reason, message))


def scrubbed(site: Site, interval: float = 1e6) -> tuple[Told, LocalScrubber]:
    """Let a scrub run until its first round is over."""
    told = Told()

    async def work() -> LocalScrubber:
        scrubber = LocalScrubber(site.store.volume, site.engine.find, rate=1e12)
        scrub = Scrub(scrubber, told, interval=interval)
        task = asyncio.create_task(scrub.run())
        try:
            for _ in range(500):
                await asyncio.sleep(0.01)
                if scrubber.state.round_completed_at or (not interval and scrubber.state.archives):
                    break
            await asyncio.sleep(0.05)
        finally:
            scrubber.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return scrubber

    return told, asyncio.run(work())


@pytest.mark.parametrize("suffix", [".tar.gz", MANIFEST_SUFFIX])
def test_rotten_bits_are_an_error_in_the_log_and_an_event(
    site: Site, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored = site.archive()
    flip(site.file(stored, suffix), lambda _: 12)
    told, scrubber = scrubbed(site)
    ((identity, reason, message),) = told.warnings
    assert (identity, reason) == (RUNNER, "ArchiveCorrupt")
    assert f"archive {stored.path} is corrupt: " in message
    assert any(record.levelno == logging.ERROR and stored.path in record.message for record in caplog.records)
    assert len(scrubber.state.corrupt) == 1


def test_sound_archives_are_no_news(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.archive()
    told, _ = scrubbed(site)
    assert told.warnings == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_without_an_interval_archives_are_counted_and_never_read(site: Site) -> None:
    flip(site.file(site.archive()))
    told, scrubber = scrubbed(site, interval=0)
    assert told.warnings == []
    assert (scrubber.state.archives, scrubber.state.read_bytes) == (1, 0)


def test_metrics_are_in_the_text_format_and_unknown_ones_are_left_out(site: Site) -> None:
    _, scrubber = scrubbed(site, interval=0)
    sweep = cast(Sweep, SimpleNamespace(stalled=3, orphans=frozenset({"a", "b"})))
    text = generate_latest(build_metrics(scrubber, sweep)).decode()
    assert "# TYPE metrics_storage_stalled gauge\nmetrics_storage_stalled 3.0\n" in text
    assert "# TYPE metrics_storage_scrubbed_bytes_total counter\nmetrics_storage_scrubbed_bytes_total 0.0\n" in text
    assert "\nmetrics_storage_scrub_last_completed_timestamp_seconds" not in text
    completed = cast(Scrubber, SimpleNamespace(state=ScrubState(round_completed_at=1795425828.5)))
    text = generate_latest(build_metrics(completed, sweep)).decode()
    assert "\nmetrics_storage_scrub_last_completed_timestamp_seconds 1.7954258285e+09\n" in text


def test_what_an_earlier_run_found_is_known_before_anything_is_read_again(site: Site) -> None:
    flip(site.file(site.archive()))
    scrubbed(site)
    restarted = LocalScrubber(site.store.volume, site.engine.find, rate=1e12)
    restarted.close()
    assert len(restarted.state.corrupt) == 1
    assert restarted.state.round_completed_at > 0
