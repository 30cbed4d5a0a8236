"""Comparisons of latency: from buckets to slow answers, to a verdict."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.comparison import PART, Comparison, SlowerThan, Undecided
from coalmine.gate.evidence import Evidence, Grid
from coalmine.gate.judge import Verdict, judge
from coalmine.gate.latency import count_slow, slow_by_point
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.sequential import NOTHING, log_evidence_not_worse, log_evidence_worse
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import Series

BOUNDS = (10.0, 20.0, 25.0, 50.0, 100.0, 200.0, math.inf)
SLOWER = SlowerThan(quantile=0.95, share=0.2)
LENGTH = 31
Draw = Callable[[random.Random], float]


def histogram(make: Any, draw: Draw, side: str, rate: int, seed: int = 3) -> list[Series]:
    """Cumulative buckets of ``rate`` answers in each step."""
    random_ = random.Random(f"{seed}{side}")
    rows: dict[float, list[float]] = {bound: [0.0] for bound in BOUNDS}
    for _ in range(LENGTH - 1):
        taken = [draw(random_) for _ in range(rate)]
        for bound, row in rows.items():
            row.append(row[-1] + sum(one <= bound for one in taken))
    part = f"{side}_bucket"
    return [
        make.series(row, **{PART: part, "le": "+Inf" if math.isinf(bound) else str(bound)})
        for bound, row in rows.items()
    ]


def times(mean: float) -> Draw:
    return lambda random_: random_.expovariate(1 / mean)


def world(
    make: Any, canary: Draw, stable: Draw, seed: int = 3, slower: SlowerThan = SLOWER
) -> tuple[Any, Evidence]:
    comparison = Comparison(0.0, 0.05, 0.05, Undecided.TEST, slower=slower)
    series = histogram(make, canary, "canary", 40, seed) + histogram(make, stable, "stable", 360)
    evidence = Evidence(make.since, (series[len(BOUNDS) - 1],), {"errors": tuple(series)})
    return make.policy(make.check(compare=comparison)), evidence


def grid(make: Any) -> Grid:
    return Grid(since=make.since, step=1.0, first=0, last=LENGTH - 1, window=10)


def test_slow_answers_are_counted_at_bounds_known_before(make: Any) -> None:
    _, evidence = world(make, times(10), times(10))
    first, second, *rest = slow_by_point(evidence.checks["errors"], grid(make), SLOWER)
    assert first == second == NOTHING, "nothing was known of stable before the first step"
    # p95 of stable is 30 ms, so above 50; 60 is the canary's bound, and 100 the next bucket's.
    assert [step.canary for step in rest] == [40.0] * (LENGTH - 2)
    stable = sum(step.stable_bad for step in rest) / sum(step.stable for step in rest)
    canary = sum(step.canary_bad for step in rest) / sum(step.canary for step in rest)
    assert stable == pytest.approx(math.exp(-5), abs=0.003)
    assert canary <= stable


@pytest.mark.parametrize(
    ("mean", "verdict"), [(10, Verdict.PROMOTE), (40, Verdict.ROLLBACK), (5, Verdict.PROMOTE)]
)
def test_the_verdict_follows_the_latency(make: Any, mean: float, verdict: Verdict) -> None:
    policy, evidence = world(make, times(mean), times(10))
    decision = judge(policy, evidence, make.since + 12)
    assert decision.verdict is verdict, decision.reason
    if verdict is Verdict.ROLLBACK:
        assert "(p95 at most 20 % slower than stable is good)" in decision.reason


def test_twice_as_slow_shows_where_no_bound_is_a_fifth_above_another(make: Any) -> None:
    policy, evidence = world(make, times(20), times(10))
    assert judge(policy, evidence, make.since + 10).verdict is Verdict.ROLLBACK
    # Between 25 and 50 ms the line from 8.2 % to 0.7 % of stable's answers is at 3.2 % at 50/1.2.
    steps = slow_by_point(evidence.checks["errors"], grid(make), SLOWER)
    assert steps[-1].margin == pytest.approx(0.025, abs=0.003)


def test_what_is_a_third_slower_shows_by_the_windows_end(make: Any) -> None:
    none = SlowerThan(quantile=0.95, share=0.0)
    decision = judge(*world(make, times(13.3), times(10), slower=none), make.since + 10)
    assert decision.verdict is Verdict.ROLLBACK
    assert "(p95 no slower than stable is good)" in decision.reason
    assert judge(*world(make, times(10), times(10), slower=none), make.since + 11).verdict is (
        Verdict.PROMOTE
    )


def test_false_alarms_are_held_at_the_margin(make: Any) -> None:
    """The canary is slower by what is just good, and by a bucket bound: 25 to 50 and 100."""
    alarms = 0
    for seed in range(60):
        _, evidence = world(make, times(20), times(10), seed)
        steps = slow_by_point(evidence.checks["errors"], grid(make), SlowerThan(0.95, 1.0))
        alarms += max(log_evidence_worse(steps)) >= math.log(20)
    # At 5 % there are more than 8 among 60 with a probability below 1 %.
    assert alarms <= 8


@pytest.mark.parametrize("share", [0.2, 1.0, 1.5, 9.0])
@pytest.mark.parametrize(("canary", "found"), [(15.0, Verdict.PROMOTE), (190.0, Verdict.ROLLBACK)])
def test_answers_that_all_lie_in_one_bucket_are_judged(
    make: Any, share: float, canary: float, found: Verdict
) -> None:
    """Slowed down, all of stable's answers or none lie beyond a bound: no part is near 5 %."""
    if share == 9.0:
        found = Verdict.PROMOTE  # 190 ms is less than ten times as long
    slower = SlowerThan(quantile=0.95, share=share)
    policy, evidence = world(make, lambda _: canary, lambda _: 15.0, slower=slower)
    assert judge(policy, evidence, make.since + 30).verdict is found


def test_where_every_answer_may_be_slow_nothing_is_established(make: Any) -> None:
    """A tenth of stable's answers, three times as slow, is all of them at the only bound."""
    slower = SlowerThan(quantile=0.05, share=2.0)
    seen = [{10.0: 0.0, 20.0: 90.0, math.inf: 90.0}] * 9
    assert count_slow(seen, seen, slower) == (NOTHING,) * 9


def test_buckets_that_do_not_fit_together_are_no_proof(make: Any) -> None:
    """A bucket that was read later than the count of all has more answers than there are."""
    odd = [{10.0: 95.0, 20.0: 110.0, 50.0: 120.0, math.inf: 100.0}] * 30
    steps = count_slow(odd, odd, SLOWER)
    assert all(0 <= step.margin < 1 and step.canary_bad >= 0 for step in steps)
    assert max(log_evidence_worse(steps)) <= 0 < len(log_evidence_not_worse(steps))


@pytest.mark.parametrize("kept", [{math.inf}, {10.0, 20.0, 25.0, math.inf}])
def test_a_histogram_that_cannot_tell_says_nothing(make: Any, kept: set[float]) -> None:
    policy, evidence = world(make, times(40), times(10))
    few = tuple(one for one in evidence.checks["errors"] if float(dict(one.labels)["le"]) in kept)
    decision = judge(
        policy, Evidence(make.since, evidence.requests, {"errors": few}), make.since + 30
    )
    assert decision.verdict is Verdict.INCONCLUSIVE


POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: slow}
spec:
  window: 20s
  step: 1s
  timeout: 40s
  min_requests: 30
  coverage: 0.8
  no_data: wait
  checks:
    - name: slower
      compare: {preset: latency, quantile: 0.95, slower: 0.2}
"""


def test_a_comparison_of_latency_is_read() -> None:
    check = parse_policy(POLICY, "p").checks[0]
    assert check.compare is not None
    assert (check.compare.slower, check.compare.margin) == (SLOWER, 0.0)
    own = POLICY.replace("preset: latency", "bucket: 'took_bucket{rev=\"${revision}\"}'")
    assert "took_bucket" in parse_policy(own, "p").checks[0].query
    with pytest.raises(InputError, match="takes no margin"):
        parse_policy(POLICY.replace("slower: 0.2", "slower: 0.2, margin: 0.1"), "p")


@pytest.mark.integration
def test_envoys_buckets_are_compared_on_a_real_prometheus(prometheus: Any) -> None:
    since, name = int(time.time()) - 100, "envoy_cluster_upstream_rq_time_bucket"
    rows = [f"# TYPE {name} unknown"]
    for cluster, shares in {"r1": (0.9, 0.98, 1, 1), "r2": (0.5, 0.6, 0.7, 1)}.items():
        for bound, share in zip(("25", "50", "100", "+Inf"), shares, strict=True):
            rows.extend(
                f'{name}{{envoy_cluster_name="{cluster}",le="{bound}"}} {100 * share * age} '
                f"{since + age}"
                for age in range(60)
            )
    plan = make_plan(parse_policy(POLICY, "p"), {"canary": "r2", "stable": "r1"})
    with PrometheusSource(prometheus("\n".join([*rows, ""]))) as source:
        start, end = (datetime.fromtimestamp(since + age, UTC) for age in (0, 5))
        series = source.query_range(
            plan.queries["slower"], start=start, end=end, step=timedelta(seconds=1)
        )
    decision = judge(plan.policy, Evidence(since, (), {"slower": series}), since + 5)
    assert decision.verdict is Verdict.ROLLBACK
    assert "slow in 40 % of" in decision.reason
