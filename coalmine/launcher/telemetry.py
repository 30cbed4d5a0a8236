"""What Prometheus can read of the launcher itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE_LATEST", "Telemetry"]


class _Releases(Collector):
    def __init__(self, count: Callable[[], Mapping[str, int]]) -> None:
        self._count = count

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        for state, count in self._count().items():
            family.add_metric([state], count)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "coalmine_releases", "Releases in the ledger, by state.", labels=["state"]
        )


class Telemetry:
    """Counts, in a registry of its own.

    Args:
        count: Gives the number of releases in each state.
        stale: Tells whether the bindings file is wrong, so that an older one holds.
    """

    def __init__(
        self, count: Callable[[], Mapping[str, int]], stale: Callable[[], bool] = lambda: False
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Releases(count))
        self._events = Counter(
            "coalmine_events",
            "Messages that were answered, by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._troubles = Counter(
            "coalmine_dispatch_troubles",
            "Times an engine or the ledger failed and was tried again.",
            registry=self._registry,
        )

        Gauge(
            "coalmine_bindings_stale",
            "1 while the bindings file is wrong and what was read before holds.",
            registry=self._registry,
        ).set_function(lambda: float(stale()))

    def answered(self, status: int) -> None:
        """Count a message by its answer."""
        self._events.labels(str(status)).inc()

    def troubled(self) -> None:
        """Count a failure that will be tried again."""
        self._troubles.inc()

    def text(self) -> bytes:
        """Give everything in Prometheus's text format."""
        return generate_latest(self._registry)
