"""Presets of pods and of KServe's servers against a real Prometheus with series of their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine.gate.comparison import PART
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.metrics.prometheus import PrometheusSource

pytestmark = pytest.mark.integration

START, END, STEP = 1_700_000_000, 600, 15
Count = Callable[[int], float]
CANARY = "iris-predictor-00002"
POD = f"{CANARY}-deployment-7d5c9b8f6-x2x4z"
PLAIN = f"{CANARY}-7d5c9b8f6-abcde"
# Pods of others: another revision whose name begins the same, and one in another namespace.
LONGER = f"{CANARY}1-deployment-7d5c9b8f6-x2x4z"
OTHER = f"{CANARY}-b-deployment-7d5c9b8f6-x2x4z"
STABLE = "iris-predictor-00001-deployment-55d5f6bb7c-qqqqq"
PRESETS = ("cpu_saturation", "memory_saturation", "pod_restarts")
KSERVE = ("kserve_latency_p50", "kserve_latency_p95", "kserve_requests")


def grows(rate: float) -> Count:
    return lambda age: rate * age


def stays(value: float) -> Count:
    return lambda _: value


def rows() -> Iterator[tuple[str, str, Count]]:
    """Give name, labels and value by age of each series; a count of -1 is not there."""

    def container(pod: str, name: str, namespace: str = "ml") -> str:
        return f'namespace="{namespace}",pod="{pod}",container="{name}"'

    main, proxy = container(POD, "kserve-container"), container(POD, "queue-proxy")
    for labels, cores in ((main, 0.5), (proxy, 0.02), (container(POD, ""), 0.52)):
        yield "container_cpu_usage_seconds_total", f'{labels},cpu="total"', grows(cores)
    for labels, size in ((main, 3e8), (proxy, 1e7), (container(POD, "POD"), 1e6)):
        yield "container_memory_working_set_bytes", labels, stays(size)
    for labels, resource, unit, limit in (
        (main, "cpu", "core", 2.0),
        (main, "memory", "byte", 4e8),
        (proxy, "cpu", "core", 0.025),
    ):
        more = f'resource="{resource}",unit="{unit}",uid="1",node="n1"'
        yield "kube_pod_container_resource_limits", f"{labels},{more}", stays(limit)
    # It restarted once long ago, and twice in the last two minutes.
    yield "kube_pod_container_status_restarts_total", main, lambda a: 1.0 + 2.0 * (a > 520)
    # A pod that is new in these minutes, and had restarted before it was first scraped.
    new = container(PLAIN, "kserve-container")
    yield "kube_pod_container_status_restarts_total", new, lambda a: 1.0 if a > 550 else -1.0
    for pod, namespace in ((LONGER, "ml"), (OTHER, "ml"), (POD, "elsewhere")):
        strange = container(pod, "kserve-container", namespace)
        yield "container_cpu_usage_seconds_total", strange, grows(9.0)
        yield "container_memory_working_set_bytes", strange, stays(9e9)
        yield "kube_pod_container_resource_limits", f'{strange},resource="cpu"', stays(0.1)
        yield "kube_pod_container_resource_limits", f'{strange},resource="memory"', stays(0.1)
        yield "kube_pod_container_status_restarts_total", strange, grows(1.0)
    for pod, rate in ((POD, 10.0), (STABLE, 90.0), (LONGER, 50.0)):
        labels = f'namespace="ml",pod="{pod}",model_name="iris"'
        yield "request_predict_seconds_count", labels, grows(rate)
        for bound, share in (("0.025", 0.5), ("0.05", 1.0), ("+Inf", 1.0)):
            bucket = f'{labels},le="{bound}"'
            yield "request_predict_seconds_bucket", bucket, grows(rate * share)


def export() -> str:
    families: dict[str, list[str]] = {}
    for name, labels, value in rows():
        family = families.setdefault(name, [f"# TYPE {name} unknown"])
        values = ((age, value(age)) for age in range(0, END + 1, STEP))
        family += [f"{name}{{{labels}}} {v} {START + age}" for age, v in values if v >= 0]
    return "".join("\n".join(family) + "\n" for family in families.values())


def policy() -> str:
    names = (*PRESETS, *KSERVE)
    checks = "".join(f"    - {{name: {p}, preset: {p}, min: 0, over: 2m}}\n" for p in names)
    return f"""\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {{name: pods}}
spec:
  window: 2m
  step: 15s
  timeout: 10m
  min_requests: 1
  coverage: 0.5
  no_data: wait
  requests: {{preset: kserve}}
  checks:
{checks}\
    - {{name: slower, compare: {{preset: kserve_latency, quantile: 0.95, slower: 0.2}}}}
"""


def test_presets_tell_what_the_canarys_pods_did(prometheus: Any) -> None:
    facts = {"canary": CANARY, "stable": STABLE.rsplit("-", 3)[0], "namespace": "ml"}
    plan = make_plan(parse_policy(policy(), "p"), facts)
    nobody = make_plan(parse_policy(policy(), "p"), {**facts, "canary": "iris-predictor-00009"})
    at = datetime.fromtimestamp(START + END, UTC)
    with PrometheusSource(prometheus(export())) as source:

        def ask(query: str) -> tuple[Any, ...]:
            return source.query_range(query, start=at, end=at, step=timedelta(seconds=15))

        found = {name: ask(plan.queries[name]) for name in (*PRESETS, *KSERVE)}
        assert {
            name: [one.samples[0].value for one in series] for name, series in found.items()
        } == {
            "cpu_saturation": [pytest.approx(0.8)],
            "memory_saturation": [pytest.approx(0.75)],
            "pod_restarts": [3.0],
            "kserve_latency_p50": [pytest.approx(25)],
            "kserve_latency_p95": [pytest.approx(47.5)],
            "kserve_requests": [pytest.approx(1200)],
        }
        assert sum(one.samples[0].value for one in ask(plan.requests)) == 6000
        parts = [dict(one.labels)[PART] for one in ask(plan.queries["slower"])]
        assert sorted(parts) == ["canary_bucket"] * 3 + ["stable_bucket"] * 3
        assert [ask(nobody.queries[name]) for name in (*PRESETS, *KSERVE)] == [()] * 6
