"""Baseline checks: the test itself beside R's and SciPy's, and the rules around it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.baseline import Baseline, Direction, rank, shift_interval
from coalmine.gate.comparison import PART
from coalmine.gate.evidence import Evidence
from coalmine.gate.explain import explain
from coalmine.gate.judge import Decision, judge
from coalmine.gate.model import Policy
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.record import gate_record
from coalmine.gate.runner import Tick, measure
from coalmine.metrics.prometheus import PrometheusSource

# Ozone in New York, May and August 1973: R's data set airquality without its missing values.
MAY = [41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23]
MAY += [45, 115, 37]
AUGUST = [39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73]
AUGUST += [76, 118, 84, 85]


def test_the_interval_is_that_of_r() -> None:
    # wilcox.test(may, august, exact = FALSE, conf.int = TRUE) to its tolerance of 1e-4.
    assert shift_interval(MAY, AUGUST, 0.95) == pytest.approx((-32, -53, -15), abs=1e-3)


def test_the_interval_holds_the_shifts_that_the_test_does_not_reject() -> None:
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - only who runs this waits for it

    def p_value(shift: float) -> float:
        shifted = [value - shift for value in canary]
        return float(mannwhitneyu(shifted, stable, method="asymptotic").pvalue)

    for seed in range(40):
        dice = random.Random(seed)
        canary = [dice.gauss(1, 1) for _ in range(dice.randint(10, 40))]
        stable = [dice.gauss(0, 1) for _ in range(dice.randint(10, 40))]
        _, lower, upper = shift_interval(canary, stable, 0.98)
        assert p_value(lower - 1e-9) <= 0.02 < p_value(lower + 1e-9)
        assert p_value(upper + 1e-9) <= 0.02 < p_value(upper - 1e-9)


STEADY = [10.0 + i % 5 for i in range(20)]
HIGHER = [value + 4 for value in STEADY]


@pytest.mark.parametrize(
    ("canary", "stable", "changes", "bad"),
    [
        (HIGHER, STEADY, {}, True),
        (STEADY, HIGHER, {}, False),
        (STEADY, HIGHER, {"direction": Direction.DECREASE}, True),
        (HIGHER, STEADY, {"direction": Direction.DECREASE}, False),
        (STEADY, HIGHER, {"direction": Direction.EITHER}, True),
        (HIGHER, STEADY, {"allowed_increase": 1.3}, True),
        (HIGHER, STEADY, {"allowed_increase": 1.4}, False),
        (STEADY, HIGHER, {"direction": Direction.DECREASE, "allowed_decrease": 0.7}, False),
        (HIGHER, STEADY, {"tolerance": 1.0}, False),
        (STEADY, STEADY, {}, False),
        ([7.0] * 20, [7.0] * 20, {}, False),
        ([8.0] * 20, [7.0] * 20, {}, True),
        ([1.0] * 20, [0.0] * 20, {"allowed_increase": 9.0}, True),
        ([0.0] * 20, [0.0] * 20, {}, False),
        ([0.0] * 17 + [1.0] * 3, [0.0] * 20, {}, False),
    ],
)
def test_what_is_apart(
    canary: list[float], stable: list[float], changes: dict[str, Any], bad: bool
) -> None:
    baseline = Baseline(**{"direction": Direction.INCREASE, **changes})
    assert rank(canary, stable, baseline).bad is bad


@pytest.fixture
def judged(make: Any) -> Callable[..., Decision]:
    """Judge a canary at an age, by a window of 10 steps and a timeout of 30."""

    def judged(age: int, canary: list[Any], stable: list[Any], more: int = 0) -> Decision:
        check = make.check(baseline=Baseline(Direction.INCREASE))
        series = [make.series(canary, **{PART: "canary"}), make.series(stable, **{PART: "stable"})]
        series += [make.series(canary, **{PART: "canary", "pod": str(i)}) for i in range(more)]
        requests = (make.series([5.0 * i for i in range(40)]),)
        policy = make.policy(check)
        return judge(
            policy, Evidence(make.since, requests, {"errors": tuple(series)}), make.since + age
        )

    return judged


LONG = [10.0 + i % 5 for i in range(40)]
RAISED = [value + 4 for value in LONG]


def test_nothing_is_compared_before_the_window_is_over(judged: Any) -> None:
    assert judged(9, RAISED, LONG).verdict == "continue"
    decision = judged(10, RAISED, LONG)
    assert decision.verdict == "rollback"
    assert decision.reason.startswith("errors was +4 (+2 to +6) from stable, 1.33 times its mean")
    assert "not higher than stable by a Mann-Whitney test at 98 % is good" in decision.reason
    assert judged(10, LONG, LONG).verdict == "promote"


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_is_no_number_is_missing_from_the_coverage(judged: Any, missing: Any) -> None:
    torn = [*LONG[:5], *[missing] * 4, *LONG[9:]]
    assert judged(10, torn, LONG).verdict == "continue"
    assert judged(10, LONG, torn).verdict == "continue", "of either side"
    assert judged(20, torn, LONG).verdict == "promote", "a later window is whole"
    assert judged(23, [missing] * 40, LONG).verdict == "continue"
    for sides in ([missing] * 40, LONG), (LONG, [missing] * 40):
        assert judged(24, *sides).verdict == "inconclusive", "it is out of reach"
    decision = judged(30, [missing] * 40, LONG)
    assert decision.verdict == "inconclusive"
    assert "values of both sides in 0% of the window's samples (80% and" in decision.reason


def test_several_series_of_a_side_are_not_judged(judged: Any) -> None:
    decision = judged(30, LONG, LONG, more=1)
    assert decision.verdict == "inconclusive"
    assert "errors has several series of canary; aggregate them into one" in decision.reason


def test_a_second_series_undoes_no_verdict_from_before_it(make: Any) -> None:
    """A gate that was killed and sees it later decides as the one that went on."""
    policy = make.policy(make.check(baseline=Baseline(Direction.INCREASE)), min_requests=1)
    second = make.series([None] * 15 + LONG[15:], **{PART: "stable", "pod": "2"})
    for canary, verdict in ((RAISED, "rollback"), (LONG, "promote")):
        first = make.series(canary, **{PART: "canary"}), make.series(LONG, **{PART: "stable"})
        evidence = Evidence(make.since, first[1:], {"errors": (*first, second)})
        assert judge(policy, evidence, make.since + 30).verdict == verdict


def test_a_baseline_waits_for_the_delay(make: Any) -> None:
    policy = make.policy(make.check(baseline=Baseline(Direction.INCREASE)), delay=5.0)
    sides = (make.series(RAISED, **{PART: "canary"}), make.series(LONG, **{PART: "stable"}))
    evidence = Evidence(make.since, (make.series([5.0 * i for i in range(40)]),), {"errors": sides})
    found = [judge(policy, evidence, make.since + age).verdict for age in range(16)]
    assert found == ["continue"] * 15 + ["rollback"]


def test_windows_are_compared_once_each(make: Any, judged: Any) -> None:
    late = [*LONG[:11], *RAISED[11:]]
    policy: Policy = make.policy(
        make.check(baseline=Baseline(Direction.INCREASE)), min_requests=999
    )
    series = (make.series(late, **{PART: "canary"}), make.series(LONG, **{PART: "stable"}))
    evidence = Evidence(make.since, (), {"errors": series})
    found = [judge(policy, evidence, make.since + age).verdict for age in range(10, 21)]
    assert found == ["continue"] * 10 + ["rollback"]


POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: ranks}
spec:
  window: 2m
  step: 10s
  timeout: 5m
  min_requests: 1
  coverage: 0.8
  no_data: wait
  requests: {query: 'seen{rev="${canary}"}'}
  checks:
    - name: cpu
      over: 1m
      baseline:
        query: avg(avg_over_time(cpu{rev="${revision}"}[${window}]))
        direction: increase
        allowed_increase: 1.1
"""
START = 1_700_000_000


@pytest.mark.integration
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "promote"), (1.5, "rollback")])
def test_against_a_real_prometheus(prometheus: Any, factor: float, verdict: str) -> None:
    dice = random.Random(1)
    rows = ["# TYPE cpu gauge"]
    for rev, times in (("r1", 1.0), ("r2", factor)):
        for age in range(0, 301, 10):
            rows += [f'cpu{{rev="{rev}"}} {times * dice.gauss(2, 0.2)} {START + age}']
    rows += [
        "# TYPE seen unknown",
        *(f'seen{{rev="r2"}} {a} {START + a}' for a in range(0, 301, 10)),
    ]
    facts = {"canary": "r2", "stable": "r1"}
    plan = make_plan(parse_policy(POLICY, "p"), facts)
    with PrometheusSource(prometheus("\n".join([*rows, ""]))) as source:
        evidence = measure(plan, source, START, START + 300)
    decision = judge(plan.policy, evidence, START + 300)
    assert decision.verdict == verdict, decision.reason
    tick = Tick(START + 300, evidence, decision)
    record = gate_record(plan, tick, datetime.fromtimestamp(START, UTC), facts)
    stored = json.loads(json.dumps(record, allow_nan=False))
    assert [one["labels"] for one in stored["checks"][0]["series"]] == [
        {"side": "canary"},
        {"side": "stable"},
    ]
    assert "  shift  " in explain(stored)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("over: 1m", "min: 1", r"a baseline whose query has \$\{window\} needs over"),
        ("over: 1m", "over: 1m\n      min: 1", "a check with baseline takes no min"),
        ("direction: increase", "tolerance: 1", "baseline.direction: is missing"),
        ("direction: increase", "direction: up", "input should be 'increase', 'decrease'"),
        ("${revision}", "${canary}", r"names it as \"\$\{revision\}\""),
        (
            "window: 2m",
            "window: 90s",
            "p:5: spec.window: is less than 10 steps, .* cpu needs\n  fix: write 1m40s",
        ),
        ("allowed_increase: 1.1", "confidence: 98", "confidence: input should be less than 1"),
        ("baseline:", "query: up\n      baseline:", "a preset or a query or compare or baseline"),
    ],
)
def test_a_wrong_baseline_is_told(old: str, new: str, words: str) -> None:
    assert old in POLICY
    with pytest.raises(InputError, match=words):
        parse_policy(POLICY.replace(old, new, 1), "p")


def test_a_first_release_has_no_baseline(make: Any) -> None:
    with pytest.raises(InputError, match="needs a stable version"):
        make_plan(parse_policy(POLICY, "p"), {"canary": "r2"})
