"""Presets for systems in which each pod of a revision counts for itself: Istio, Knative, BentoML.

Pods come, go and restart, so growth is taken of each series by itself: ``increase()`` where the
series was there at the window's start, and else its whole value, for it began at 0. (``increase()``
alone misses what was counted before a series was first scraped, and the first errors are in there.)

Sources of names and labels:

* Istio: "Istio Standard Metrics", istio.io/latest/docs/reference/config/metrics. The reports of the
  calling proxies are read, reporter "source": only they know of answers that never came.
* Knative: "Service metrics", knative.dev/docs/serving/services/service-metrics: queue-proxy's
  metrics up to Serving 1.18; newer releases write OpenTelemetry names.
* BentoML: docs.bentoml.com/en/latest/build-with-bentoml/observability/metrics.html. Health checks
  are counted there as well and are left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SYSTEMS", "System", "pod_growth", "pod_presets", "pod_quantile"]


@dataclass(frozen=True, slots=True)
class System:
    """Where a system keeps a revision's counters; each a selector with ``${revision}``.

    Attributes:
        bad: 5xx answers.
        total: All answers.
        bucket: The buckets of their duration.
        milliseconds: By what a duration is multiplied to be in milliseconds.
        revision: What a revision's name is there, for people.
    """

    bad: str
    total: str
    bucket: str
    milliseconds: int
    revision: str


ISTIO = 'reporter="source",destination_workload="${revision}"'
KNATIVE = 'revision_name="${revision}"'
BENTOML = 'service_version="${revision}",endpoint!~"/(livez|readyz|healthz|metrics)"'
SYSTEMS: Mapping[str, System] = {
    "istio": System(
        bad=f'istio_requests_total{{{ISTIO},response_code=~"5.."}}',
        total=f"istio_requests_total{{{ISTIO}}}",
        bucket=f"istio_request_duration_milliseconds_bucket{{{ISTIO}}}",
        milliseconds=1,
        revision="the workload's name",
    ),
    "knative": System(
        bad=f'revision_request_count{{{KNATIVE},response_code_class="5xx"}}',
        total=f"revision_request_count{{{KNATIVE}}}",
        bucket=f"revision_request_latencies_bucket{{{KNATIVE}}}",
        milliseconds=1,
        revision="the revision's name",
    ),
    "bentoml": System(
        bad=f'bentoml_service_request_total{{{BENTOML},http_response_code=~"5.."}}',
        total=f"bentoml_service_request_total{{{BENTOML}}}",
        bucket=f"bentoml_service_request_duration_seconds_bucket{{{BENTOML}}}",
        milliseconds=1000,
        revision="the bento's version",
    ),
}
"""The systems by the prefix of their presets."""


def pod_growth(selector: str) -> str:
    """Ask how much each series grew over ``${window}``; one that is new began at 0."""
    grown = f"increase({selector}[${{window}}])"
    return f"(({grown} and {selector} offset ${{window}}) or {selector})"


def pod_presets(name: str) -> Mapping[str, tuple[str, str, str]]:
    """Give a system's presets: query, unit and summary by name."""
    system = SYSTEMS[name]
    bad, total = (f"sum({pod_growth(_canary(one))})" for one in (system.bad, system.total))
    return {
        f"{name}_error_rate": (
            f"({bad} or vector(0)) / ({total} > 0)",
            "ratio",
            "The part of the canary's answers in ${window} that were 5xx.",
        ),
        f"{name}_latency_p50": (
            pod_quantile(system.bucket, 0.5, system.milliseconds),
            "ms",
            "Half of the canary's answers.",
        ),
        f"{name}_latency_p95": (
            pod_quantile(system.bucket, 0.95, system.milliseconds),
            "ms",
            "95 % of the canary's answers.",
        ),
        f"{name}_requests": (total, "count", "How many requests the canary answered in ${window}."),
    }


def pod_quantile(bucket: str, share: float, milliseconds: int) -> str:
    """Ask for a quantile of the canary's durations over ``${window}``, in milliseconds.

    Args:
        bucket: A selector of a revision's buckets, with ``${revision}``.
        share: Which quantile, such as 0.95.
        milliseconds: By what their durations are multiplied.
    """
    buckets = f"sum by (le) ({pod_growth(_canary(bucket))})"
    return f"{milliseconds} * histogram_quantile({share}, {buckets})"


def _canary(selector: str) -> str:
    return selector.replace("${revision}", "${canary}")
