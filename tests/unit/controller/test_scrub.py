"""What scrubbing finds is told: in the log, as an event, and as numbers for Prometheus."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_storage.controller.events import Events
from metrics_storage.controller.metrics import Metric, render
from metrics_storage.controller.scrub import Scrub
from metrics_storage.model.identity import MANIFEST_SUFFIX, Identity
from tests.unit.engine.vaulting import RUNNER, Site, flip, opened_site


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


def scrubbed(site: Site, interval: float = 1e6) -> tuple[Told, Scrub]:
    """Let a scrub run until its first round is over."""
    told = Told()

    async def work() -> Scrub:
        scrub = Scrub(site.vault.volume, told, interval=interval, rate=1e12)
        task = asyncio.create_task(scrub.run())
        try:
            for _ in range(500):
                await asyncio.sleep(0.01)
                if scrub.scrubber.state.round_completed_at or (not interval and scrub.scrubber.known):
                    break
            await asyncio.sleep(0.05)
        finally:
            scrub.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return scrub

    return told, asyncio.run(work())


@pytest.mark.parametrize("suffix", [".tar.gz", MANIFEST_SUFFIX])
def test_rotten_bits_are_an_error_in_the_log_and_an_event(
    site: Site, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored = site.archive()
    flip(site.file(stored, suffix), lambda _: 12)
    told, scrub = scrubbed(site)
    ((identity, reason, message),) = told.warnings
    assert (identity, reason) == (RUNNER, "ArchiveCorrupt")
    assert f"archive {stored.path} is corrupt: " in message
    assert any(record.levelno == logging.ERROR and stored.path in record.message for record in caplog.records)
    assert len(scrub.scrubber.state.corrupt) == 1


def test_sound_archives_are_no_news(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.archive()
    told, _ = scrubbed(site)
    assert told.warnings == []
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_without_an_interval_archives_are_counted_and_never_read(site: Site) -> None:
    flip(site.file(site.archive()))
    told, scrub = scrubbed(site, interval=0)
    assert told.warnings == []
    assert (scrub.scrubber.known, scrub.scrubber.read_bytes) == (1, 0)


def test_metrics_are_in_the_text_format_and_unknown_ones_are_left_out() -> None:
    metrics = (
        Metric("a_total", "counter", "Counts.", lambda: 3),
        Metric("b_seconds", "gauge", "Time.", lambda: 1795425828.5),
        Metric("c", "gauge", "Unknown.", lambda: None),
    )
    assert render(metrics) == (
        "# HELP a_total Counts.\n# TYPE a_total counter\na_total 3\n"
        "# HELP b_seconds Time.\n# TYPE b_seconds gauge\nb_seconds 1795425828.5\n"
    )
