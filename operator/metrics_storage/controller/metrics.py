"""Metrics in the text format of Prometheus, version 0.0.4, written by hand: a few numbers don't need a client library.

What the numbers are is their owners' business: each is asked when it is looked at.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from metrics_storage.controller.scrub import Scrub
from metrics_storage.controller.sweep import Sweep

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number with a name; `kind` is gauge or counter. None is left out: it is not known yet."""

    name: str
    kind: str
    help: str
    value: Callable[[], float | None]


def render(metrics: Iterable[Metric]) -> str:
    """All metrics as a scrape gets them."""
    lines = []
    for metric in metrics:
        value = metric.value()
        if value is not None:
            lines += [
                f"# HELP {metric.name} {metric.help}",
                f"# TYPE {metric.name} {metric.kind}",
                f"{metric.name} {value:.17g}",
            ]
    return "".join(line + "\n" for line in lines)


def build_metrics(scrub: Scrub, sweep: Sweep) -> tuple[Metric, ...]:
    """The metrics of an operator."""
    scrubber = scrub.scrubber
    return (
        Metric(
            "metrics_storage_archives",
            "gauge",
            "Complete archives on the quarantine volume.",
            lambda: scrubber.known,
        ),
        Metric(
            "metrics_storage_archives_corrupt",
            "gauge",
            "Archives that scrubbing found corrupt and that are still there.",
            lambda: len(scrubber.state.corrupt),
        ),
        Metric(
            "metrics_storage_scrub_last_completed_timestamp_seconds",
            "gauge",
            "When all archives were last read again, in seconds since 1970.",
            lambda: scrubber.state.round_completed_at or None,
        ),
        Metric(
            "metrics_storage_scrubbed_bytes_total",
            "counter",
            "Bytes of archives read again since the start.",
            lambda: scrubber.read_bytes,
        ),
        Metric(
            "metrics_storage_stalled",
            "gauge",
            "MetricsStorages on which a person must act, by the last sweep.",
            lambda: sweep.stalled,
        ),
        Metric(
            "metrics_storage_orphans",
            "gauge",
            "Directories and volumes that are kept although their MetricsStorage is gone.",
            lambda: len(sweep.orphans),
        ),
    )
