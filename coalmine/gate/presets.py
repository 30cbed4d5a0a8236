"""Queries that need not be written: what Envoy tells of a revision, and other systems.

Envoy names its metrics by cluster and there is one cluster a revision. A revision's counters start
at 0 with its release, and its 5xx series appears only with the first 5xx. ``increase()`` would miss
all that was counted before a series' first scrape, so the growth over ``${window}`` is taken as the
value now less the value then, or less nothing where there was none.

Source of the names: Envoy's cluster statistics, as ``/stats/prometheus`` writes them. Times are in
milliseconds. Envoy merges histograms and uptime every ``stats_flush_interval`` (5 s unless set).
"""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.gate.kubernetes import KSERVE_BUCKET, KSERVE_REQUESTS, KUBERNETES_PRESETS
from coalmine.gate.pods import SYSTEMS, pod_presets

__all__ = ["BUCKETS", "COUNTERS", "PRESETS", "REQUESTS", "REQUEST_COUNTERS", "Counters", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A query with a name.

    Attributes:
        query: The template.
        unit: What its values are in: ``ratio``, ``ms`` or ``count``.
        summary: What it tells, in one sentence.
    """

    query: str
    unit: str
    summary: str


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of a revision that a ``compare`` check reads, as templates with ``${revision}``.

    Attributes:
        bad: Counters of bad answers.
        total: Counters of all answers. They are not summed, for a sum hides that one was reset.
        summary: What their ratio tells, in one sentence.
    """

    bad: str
    total: str
    summary: str


CANARY = 'envoy_cluster_name="${canary}"'
COMPLETED = f"envoy_cluster_upstream_rq_completed{{{CANARY}}}"
ERRORS = f'envoy_cluster_upstream_rq_xx{{{CANARY},envoy_response_code_class="5"}}'
BUCKET = f"envoy_cluster_upstream_rq_time_bucket{{{CANARY}}}"


def _grown(selector: str) -> str:
    return f"(sum({selector}) - (sum({selector} offset ${{window}}) or vector(0)))"


def _quantile(share: float) -> str:
    now, then = f"sum by (le) ({BUCKET})", f"sum by (le) ({BUCKET} offset ${{window}})"
    return f"histogram_quantile({share}, {now} - ({then} or {now} * 0))"


REQUESTS = f"sum({COMPLETED})"
"""The default counter of the canary's answered requests, for ``min_requests``."""
REQUEST_COUNTERS = {
    "envoy": REQUESTS,
    **{name: system.total.replace("${revision}", "${canary}") for name, system in SYSTEMS.items()},
    "kserve": KSERVE_REQUESTS,
}
"""The counters of the canary's answered requests by system."""

PRESETS = {
    "error_rate": Preset(
        query=f"(clamp_min({_grown(ERRORS)}, 0) or vector(0)) / ({_grown(COMPLETED)} > 0)",
        unit="ratio",
        summary="The part of the canary's answers in ${window} that were 5xx.",
    ),
    "latency_p50": Preset(
        query=_quantile(0.5),
        unit="ms",
        summary="Half of the canary's answers in ${window} took at most this long.",
    ),
    "latency_p95": Preset(
        query=_quantile(0.95),
        unit="ms",
        summary="95 % of the canary's answers in ${window} took at most this long.",
    ),
    "requests": Preset(
        query=_grown(COMPLETED),
        unit="count",
        summary="How many requests the canary answered in ${window}.",
    ),
    "proxy_restarts": Preset(
        query="max(resets(envoy_server_uptime[${window}]))",
        unit="count",
        summary="How often an Envoy restarted in ${window}: its counters, the evidence, are lost.",
    ),
    **{name: Preset(*what) for system in SYSTEMS for name, what in pod_presets(system).items()},
    **{name: Preset(*what) for name, what in KUBERNETES_PRESETS.items()},
}
"""The presets by name."""

REVISION = 'envoy_cluster_name="${revision}"'
COUNTERS = {
    "error_rate": Counters(
        bad=f'envoy_cluster_upstream_rq_xx{{{REVISION},envoy_response_code_class="5"}}',
        total=f"envoy_cluster_upstream_rq_completed{{{REVISION}}}",
        summary="The part of the answers that were 5xx.",
    ),
    **{
        f"{name}_error_rate": Counters(
            bad=system.bad, total=system.total, summary="The part of the answers that were 5xx."
        )
        for name, system in SYSTEMS.items()
    },
}
"""The presets of ``compare`` checks by name."""

BUCKETS = {
    "latency": f"envoy_cluster_upstream_rq_time_bucket{{{REVISION}}}",
    **{f"{name}_latency": system.bucket for name, system in SYSTEMS.items()},
    "kserve_latency": KSERVE_BUCKET,
}
"""The histograms of the duration of a revision's answers, by preset, with ``${revision}``."""
