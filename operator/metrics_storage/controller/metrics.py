"""Metrics for Prometheus. What the numbers are is their owners' business: each is asked when it is scraped."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from metrics_storage.controller.engine_api import Scrubber
from metrics_storage.controller.sweep import Sweep

_PREFIX: Final = "metrics_storage_"


class OperatorMetrics(Collector):
    """The metrics of an operator."""

    def __init__(self, scrubber: Scrubber, sweep: Sweep) -> None:
        self._scrubber = scrubber
        self._sweep = sweep

    def collect(self) -> Iterator[Metric]:
        """Every metric with its value now; one without a value is not known yet."""
        state = self._scrubber.state
        yield GaugeMetricFamily(
            f"{_PREFIX}archives", "Complete archives on the quarantine volume.", value=state.archives
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}archives_corrupt",
            "Archives that scrubbing found corrupt and that are still there.",
            value=len(state.corrupt),
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}scrub_last_completed_timestamp_seconds",
            "When all archives were last read again, in seconds since 1970.",
            value=state.round_completed_at or None,
        )
        yield CounterMetricFamily(
            f"{_PREFIX}scrubbed_bytes", "Bytes of archives read again since the start.", value=state.read_bytes
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}stalled",
            "MetricsStorages on which a person must act, by the last sweep.",
            value=self._sweep.stalled,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}orphans",
            "Directories and volumes that are kept although their MetricsStorage is gone.",
            value=len(self._sweep.orphans),
        )


def build_metrics(scrubber: Scrubber, sweep: Sweep) -> CollectorRegistry:
    """A registry with the metrics of an operator and no others."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OperatorMetrics(scrubber, sweep))
    return registry
