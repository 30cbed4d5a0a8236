"""Comparisons against a real Prometheus that holds what Envoy exports of two revisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.preflight import preflight
from coalmine.gate.runner import run_gate
from coalmine.metrics.prometheus import PrometheusSource

pytestmark = pytest.mark.integration

FACTS = {"service": "iris", "canary": "iris-r2", "stable": "iris-r1"}
POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: versus}
spec:
  window: 20s
  step: 1s
  timeout: 40s
  min_requests: 30
  coverage: 0.8
  no_data: wait
  checks:
    - name: versus
      compare:
        preset: error_rate
        margin: 0.02
"""
Count = Callable[[int], float]
World = Mapping[str, tuple[Count, Count]]


def export(world: World, since: int) -> str:
    """Write one Envoy's counters; a 5xx series begins with the first 5xx."""
    total = ["# TYPE envoy_cluster_upstream_rq_completed unknown"]
    bad = ["# TYPE envoy_cluster_upstream_rq_xx unknown"]
    for name, (all_of, bad_of) in world.items():
        label = f'envoy_cluster_name="{name}"'
        for age in range(60):
            total.append(f"{total[0].split()[2]}{{{label}}} {all_of(age)} {since + age}")
            if bad_of(age):
                row = f'{label},envoy_response_code_class="5"'
                bad.append(f"{bad[0].split()[2]}{{{row}}} {bad_of(age)} {since + age}")
    return "\n".join([*total, *bad, ""])


@pytest.fixture
def judged(prometheus: Any) -> Any:
    def judged(world: World) -> tuple[Any, float]:
        since = int(time.time()) - 100
        clock = iter(range(since, since + 1000))
        moments: list[float] = []
        policy = parse_policy(POLICY, "versus")
        with PrometheusSource(prometheus(export(world, since))) as source:
            preflight(policy, source, FACTS)
            decision = run_gate(
                make_plan(policy, FACTS),
                source,
                datetime.fromtimestamp(since, UTC),
                clock=lambda: float(next(clock)),
                sleep=lambda _: None,
                observe=lambda tick: moments.append(tick.now),
            )
        return decision, moments[-1] - since

    return judged


def stable(age: int) -> float:
    return 1e6 + 90 * age


def some(age: int) -> float:
    return 3.0 + age // 5


def none(_: int) -> float:
    return 0.0


def test_a_canary_with_errors_is_rolled_back_within_seconds(judged: Any) -> None:
    world = {"iris-r1": (stable, some), "iris-r2": (lambda age: 10.0 * age, lambda age: 2.0 * age)}
    decision, spent = judged(world)
    assert decision.verdict == "rollback"
    assert "on stable (at most 2 percentage points above stable is good)" in decision.reason
    assert spent <= 5


def test_a_canary_like_stable_is_promoted_before_the_window_is_over(judged: Any) -> None:
    world = {"iris-r1": (stable, some), "iris-r2": (lambda age: 60.0 * age, none)}
    decision, spent = judged(world)
    assert decision.verdict == "promote", decision.reason
    assert spent < 20


def test_a_reset_of_a_counter_is_no_error(judged: Any) -> None:
    def restarted(age: int) -> float:
        return 60.0 * age if age < 3 else 60.0 * (age - 3)

    world = {"iris-r1": (stable, some), "iris-r2": (restarted, none)}
    decision, _ = judged(world)
    assert decision.verdict == "promote", decision.reason
    assert decision.checks[0].compared.canary_bad == 0


def test_a_stable_that_is_not_measured_is_inconclusive(judged: Any) -> None:
    decision, spent = judged({"iris-r2": (lambda age: 60.0 * age, none)})
    assert decision.verdict == "inconclusive"
    assert spent < 40, "it can no longer be covered by the timeout"
