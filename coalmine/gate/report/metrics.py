"""What a report asks Prometheus: the traffic, errors and latency of every revision of a service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from coalmine.gate.duration import format_duration
from coalmine.gate.report.chart import Points
from coalmine.gate.template import fill_template
from coalmine.metrics.protocol import MetricsSource, Series

__all__ = ["ReportMetrics", "fetch_metrics", "report_queries"]

CLUSTER = "envoy_cluster_name"
MOST_POINTS = 240
REVISIONS = f'{CLUSTER}=~"${{service}}-[^-]+"'


@dataclass(frozen=True, slots=True)
class ReportMetrics:
    """What happened, by revision.

    Attributes:
        span: The first and the last Unix second asked for.
        traffic: Requests a second.
        errors: The part of the answers that were 5xx, 0 to 1.
        latency: The 95th percentile in milliseconds.
        missing: Why there are none; empty where there are.
    """

    span: tuple[float, float]
    traffic: Mapping[str, Points] = field(default_factory=dict)
    errors: Mapping[str, Points] = field(default_factory=dict)
    latency: Mapping[str, Points] = field(default_factory=dict)
    missing: str = ""


def report_queries(service: str, window: float) -> dict[str, str]:
    """Write the queries out; each value looks back ``window`` seconds."""
    values = {"service": re.escape(service), "window": format_duration(window)}
    return {name: fill_template(query, values) for name, query in TEMPLATES.items()}


def fetch_metrics(source: MetricsSource, service: str, span: tuple[float, float]) -> ReportMetrics:
    """Ask for everything a report shows.

    Args:
        source: Who to ask.
        service: Whose revisions.
        span: The first and the last Unix second.

    Raises:
        MetricsUnavailableError: No proper answer came.
    """
    begin, end = span
    step = max(1.0, round((end - begin) / MOST_POINTS))
    start, stop = (datetime.fromtimestamp(time, UTC) for time in span)
    answers = {
        name: _by_revision(
            source.query_range(query, start=start, end=stop, step=timedelta(seconds=step))
        )
        for name, query in report_queries(service, max(5.0, 4 * step)).items()
    }
    return ReportMetrics(
        span=span,
        traffic=answers["traffic"],
        errors=answers["errors"],
        latency=answers["latency"],
    )


def _rate(metric: str, labels: str = "", by: str = CLUSTER) -> str:
    return f"sum by ({by}) (rate({metric}{{{REVISIONS}{labels}}}[${{window}}]))"


def _by_revision(series: tuple[Series, ...]) -> dict[str, Points]:
    return {
        dict(one.labels).get(CLUSTER, ""): [(s.time, s.value) for s in one.samples]
        for one in series
    }


ALL = _rate("envoy_cluster_upstream_rq_completed")
BAD = _rate("envoy_cluster_upstream_rq_xx", ',envoy_response_code_class="5"')
BUCKETS = _rate("envoy_cluster_upstream_rq_time_bucket", by=f"{CLUSTER}, le")
TEMPLATES = {
    "traffic": ALL,
    "errors": f"({BAD} or {ALL} * 0) / ({ALL} > 0)",
    "latency": f"histogram_quantile(0.95, {BUCKETS})",
}
