"""Presets of Istio, Knative and BentoML against a real Prometheus with series of their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine.gate.comparison import PART
from coalmine.gate.plan import make_plan
from coalmine.gate.pods import SYSTEMS
from coalmine.gate.policy import parse_policy
from coalmine.metrics.prometheus import PrometheusSource

pytestmark = pytest.mark.integration

START, END, STEP = 1_700_000_000, 600, 10
Count = Callable[[int], float]
# By system: the labels of an answer, and the names of the counter and the histogram.
SHAPES = {
    "istio": (
        'reporter="source",destination_workload="{rev}",response_code="{code}",pod="{pod}"',
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
        ("25", "50"),
    ),
    "knative": (
        'revision_name="{rev}",response_code="{code}",response_code_class="{kind}xx",pod="{pod}"',
        "revision_request_count",
        "revision_request_latencies_bucket",
        ("25", "50"),
    ),
    "bentoml": (
        'service_version="{rev}",http_response_code="{code}",endpoint="{path}",pod="{pod}"',
        "bentoml_service_request_total",
        "bentoml_service_request_duration_seconds_bucket",
        ("0.025", "0.05"),
    ),
}
# Another caller's view, another path: what must not be counted.
STRANGE = {
    "istio": ('reporter="source"', 'reporter="destination"'),
    "knative": ('revision_name="r2"', 'revision_name="r22"'),
    "bentoml": ('endpoint="/predict"', 'endpoint="/livez"'),
}


def answers(system: str) -> Iterator[tuple[str, Count, int]]:
    """Give labels, counter and first age of each series."""
    labels = SHAPES[system][0]

    def named(rev: str, code: str, pod: str) -> str:
        return labels.format(rev=rev, code=code, kind=code[0], pod=pod, path="/predict")

    yield named("r2", "200", "a"), lambda age: 8.0 * age, 0
    # Pod b restarts after five minutes: its counter begins again.
    yield named("r2", "200", "b"), lambda age: 1.0 * (age if age < 300 else age - 300), 0
    # The first error is scraped with others: the series begins at 60.
    yield named("r2", "503", "a"), lambda _: 60.0, 560
    yield named("r1", "200", "c"), lambda age: 90.0 * age, 0
    yield named("r1", "503", "c"), lambda age: 10.0 * age, 0
    yield named("r2", "500", "a").replace(*STRANGE[system]), lambda age: 100.0 * age, 0


def export(system: str) -> str:
    _, counter, bucket, bounds = SHAPES[system]
    counters, buckets = [f"# TYPE {counter} unknown"], [f"# TYPE {bucket} unknown"]
    for labels, count, first in answers(system):
        ages = range(first, END + 1, STEP)
        counters.extend(f"{counter}{{{labels}}} {count(age)} {START + age}" for age in ages)
        for bound, share in ((bounds[0], 0.5), (bounds[1], 1.0), ("+Inf", 1.0)):
            buckets.extend(
                f'{bucket}{{{labels},le="{bound}"}} {share * count(age)} {START + age}'
                for age in ages
            )
    # Samples of one series stand together, and families one after another.
    return "\n".join([*counters, *buckets, ""])


def policy(system: str) -> str:
    presets = [f"{system}_{name}" for name in ("error_rate", "latency_p95", "requests")]
    checks = "".join(f"    - {{name: {p}, preset: {p}, min: 0, over: 2m}}\n" for p in presets)
    return f"""\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {{name: pods}}
spec:
  window: 2m
  step: 10s
  timeout: 10m
  min_requests: 1
  coverage: 0.5
  no_data: wait
  requests: {{preset: {system}}}
  checks:
{checks}\
    - name: versus
      compare: {{preset: {system}_error_rate, margin: 0.01}}
"""


@pytest.mark.parametrize("system", SYSTEMS)
def test_presets_tell_what_the_pods_counted(prometheus: Any, system: str) -> None:
    plan = make_plan(parse_policy(policy(system), "p"), {"canary": "r2", "stable": "r1"})
    at = datetime.fromtimestamp(START + END, UTC)
    with PrometheusSource(prometheus(export(system))) as source:

        def ask(query: str) -> tuple[Any, ...]:
            return source.query_range(query, start=at, end=at, step=timedelta(seconds=10))

        def value(name: str) -> float:
            (series,) = ask(plan.queries[f"{system}_{name}"])
            return float(series.samples[0].value)

        total = (8 + 1) * 120 + 60
        assert value("requests") == pytest.approx(total, rel=0.01)
        assert value("error_rate") == pytest.approx(60 / total, rel=0.01)
        assert value("latency_p95") == pytest.approx(47.5, rel=0.01)
        counted = sum(series.samples[0].value for series in ask(plan.requests))
        assert counted == 8 * 600 + 300 + 60
        parts: dict[str, float] = {}
        for series in ask(plan.queries["versus"]):
            part = dict(series.labels)[PART]
            parts[part] = parts.get(part, 0) + series.samples[0].value
    assert parts == {
        "canary_bad": 60,
        "canary_total": counted,
        "stable_bad": 6000,
        "stable_total": 60_000,
    }


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_answers_are_no_data_and_a_restart_is_no_loss(prometheus: Any, system: str) -> None:
    plan = make_plan(parse_policy(policy(system), "p"), {"canary": "r9", "stable": "r1"})
    restarted = make_plan(parse_policy(policy(system), "p"), {"canary": "r2", "stable": "r1"})
    with PrometheusSource(prometheus(export(system))) as source:
        at = datetime.fromtimestamp(START + 360, UTC)

        def ask(query: str) -> tuple[Any, ...]:
            return source.query_range(query, start=at, end=at, step=timedelta(seconds=10))

        assert ask(plan.queries[f"{system}_error_rate"]) == ()
        (errors,) = ask(restarted.queries[f"{system}_error_rate"])
        assert errors.samples[0].value == 0
        (requests,) = ask(restarted.queries[f"{system}_requests"])
        # What was counted between the last scrape and the restart is lost to everyone.
        assert requests.samples[0].value == pytest.approx(9 * 120, rel=0.02)
