"""Checks that compare the canary with stable: what is counted, and what the judge makes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.comparison import PART, PARTS, Comparison, Undecided
from coalmine.gate.evidence import Evidence
from coalmine.gate.judge import Verdict, judge
from coalmine.gate.model import Check, Policy
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.record import gate_record
from coalmine.gate.report.page import checks_of
from coalmine.gate.runner import Tick
from coalmine.gate.tally import CheckState

COMPARISON = Comparison(
    margin=0.02, false_rollback=0.05, false_promotion=0.05, undecided=Undecided.ESTIMATE
)
Rates = Sequence[float | None]


@pytest.fixture
def world(make: Any) -> Any:
    def world(
        counters: dict[str, Rates], comparison: Comparison = COMPARISON, **changes: Any
    ) -> tuple[Policy, Evidence]:
        check = make.check(compare=comparison)
        series = tuple(
            make.series(values, **{PART: part, "pod": str(number)})
            for number, (part, values) in enumerate(counters.items())
        )
        total = counters["canary_total"]
        evidence = Evidence(make.since, (make.series(total),), {"errors": series})
        return make.policy(check, **changes), evidence

    return world


def counters(
    canary: float, stable: float, *, rate: float = 100.0, length: int = 31, late: int = 0
) -> dict[str, Rates]:
    """Counters that grow by ``rate`` on the canary and nine times that on stable."""
    ages = range(length)
    return {
        "canary_bad": [canary * rate * max(0, age - late) for age in ages],
        "canary_total": [rate * age for age in ages],
        "stable_bad": [1e6 + stable * 9 * rate * age for age in ages],
        "stable_total": [1e8 + 9 * rate * age for age in ages],
    }


def at(make: Any, world: tuple[Policy, Evidence], age: float) -> Any:
    return judge(*world, make.since + age)


def test_a_canary_that_is_worse_is_rolled_back_at_once(make: Any, world: Any) -> None:
    decision = at(make, world(counters(0.2, 0.01)), 1)
    assert decision.verdict is Verdict.ROLLBACK
    assert decision.reason == (
        "errors was 20 % of 100 on the canary and 1 % of 900 on stable "
        "(at most 2 percentage points above stable is good), after 1s"
    )
    assert decision.checks[0].state is CheckState.FAILED


def test_a_stable_that_is_as_bad_is_no_reason_to_roll_back(make: Any, world: Any) -> None:
    assert at(make, world(counters(0.2, 0.2)), 10).verdict is Verdict.PROMOTE


def test_not_worse_is_promoted_before_the_window_is_over(make: Any, world: Any) -> None:
    same = world(counters(0.01, 0.01))
    found = [at(make, same, age).verdict for age in range(10)]
    early = found.index(Verdict.PROMOTE)
    assert 1 < early < 9
    assert set(found[:early]) == {Verdict.CONTINUE}
    reason = at(make, same, early).reason
    assert reason.startswith(f"every check is established to be good after {early}s and ")
    few = world(counters(0.01, 0.01), min_requests=1000)
    assert at(make, few, 9).verdict is Verdict.CONTINUE


def test_a_check_may_take_the_whole_window_to_pass(make: Any, world: Any) -> None:
    patient = world(counters(0.01, 0.01), replace(COMPARISON, early_pass=False))
    assert at(make, patient, 9).verdict is Verdict.CONTINUE
    assert at(make, patient, 10).verdict is Verdict.PROMOTE
    impatient = world(counters(0.2, 0.01), replace(COMPARISON, early_pass=False))
    assert at(make, impatient, 1).verdict is Verdict.ROLLBACK


def test_a_threshold_beside_it_holds_the_window(make: Any, world: Any) -> None:
    policy, evidence = world(counters(0.01, 0.01))
    both = replace(policy, checks=(*policy.checks, make.check(name="score")))
    evidence = replace(evidence, checks={**evidence.checks, "score": (make.series([0.0] * 31),)})
    assert at(make, (both, evidence), 9).verdict is Verdict.CONTINUE
    assert at(make, (both, evidence), 10).verdict is Verdict.PROMOTE


def test_at_the_windows_end_the_rule_decides(make: Any, world: Any) -> None:
    slow = counters(0.0, 0.0, rate=3)
    assert at(make, world(slow), 9).verdict is Verdict.CONTINUE
    assert at(make, world(slow), 10).verdict is Verdict.PROMOTE
    strict = replace(COMPARISON, undecided=Undecided.WAIT)
    decision = at(make, world(slow, strict), 30)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "not established to be good: at most 2 percentage points above stable" in decision.reason


def test_what_looks_worse_but_is_not_established_is_not_promoted(make: Any, world: Any) -> None:
    unsure = world(counters(0.05, 0.01, rate=3))
    decision = at(make, unsure, 10)
    assert decision.verdict is Verdict.CONTINUE
    assert decision.checks[0].state is CheckState.FAILING


NO_WORSE = replace(COMPARISON, margin=0.0, undecided=Undecided.TEST)


def test_no_worse_by_more_than_chance_is_promoted_when_the_window_is_over(
    make: Any, world: Any
) -> None:
    looks_worse = world(counters(0.011, 0.01), NO_WORSE)
    assert at(make, looks_worse, 9).verdict is Verdict.CONTINUE
    decision = at(make, looks_worse, 10)
    assert decision.verdict is Verdict.PROMOTE
    assert decision.checks[0].state is CheckState.PASSING
    assert decision.checks[0].compared.chance == pytest.approx(0.4, abs=0.05)


def test_what_chance_does_not_explain_is_rolled_back_when_the_window_is_over(
    make: Any, world: Any
) -> None:
    little_worse = world(counters(0.02, 0.01), NO_WORSE)
    assert at(make, little_worse, 9).verdict is Verdict.CONTINUE
    decision = at(make, little_worse, 10)
    assert decision.verdict is Verdict.ROLLBACK
    assert decision.reason.endswith("(no worse than stable is good), after 10s")
    assert decision.checks[0].compared.chance < 0.025
    assert at(make, little_worse, 20).reason == decision.reason


def test_the_window_that_is_tested_is_the_first_whole_one(make: Any, world: Any) -> None:
    late = {
        name: [values[0]] * 6 + list(values[:25]) for name, values in counters(0.0, 0.0).items()
    }
    policy = world(late, NO_WORSE, coverage=1.0)
    assert at(make, policy, 14).verdict is Verdict.CONTINUE
    assert at(make, policy, 16).verdict is Verdict.PROMOTE


def test_an_early_pass_takes_a_quarter_of_the_window_and_answers_to_the_last(
    make: Any, world: Any
) -> None:
    plenty = counters(0.0, 0.0, rate=1000)
    assert at(make, world(plenty), 2).verdict is Verdict.CONTINUE
    assert at(make, world(plenty), 3).verdict is Verdict.PROMOTE
    stopped = {name: [*values[:3], *[values[2]] * 28] for name, values in plenty.items()}
    assert at(make, world(stopped, coverage=0.5), 30).verdict is Verdict.INCONCLUSIVE


def test_a_fault_that_comes_late_is_found(make: Any, world: Any) -> None:
    late = world(counters(0.3, 0.0, late=8, rate=10), min_requests=1000, timeout=200.0)
    assert at(make, late, 8).verdict is Verdict.CONTINUE
    assert at(make, late, 14).verdict is Verdict.ROLLBACK


@pytest.mark.parametrize("side", ["canary_total", "stable_total"])
def test_a_side_without_traffic_is_inconclusive(make: Any, world: Any, side: str) -> None:
    silent = counters(0.0, 0.0)
    silent[side] = [5.0] * 31
    decision = at(make, world(silent), 30)
    assert decision.verdict is Verdict.INCONCLUSIVE


def test_traffic_that_stops_is_inconclusive(make: Any, world: Any) -> None:
    stopped = {name: [*list(v)[:4], *[v[3]] * 27] for name, v in counters(0.0, 0.0, rate=4).items()}
    decision = at(make, world(stopped), 30)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "has answers of both sides in 0% of the window's steps" in decision.reason


def test_traffic_that_stops_ends_a_comparison_early(make: Any, world: Any) -> None:
    stopped = {name: [*list(v)[:4], *[v[3]] * 27] for name, v in counters(0.0, 0.0, rate=4).items()}
    whole = replace(COMPARISON, early_pass=False)
    assert at(make, world(stopped, whole), 23).verdict is Verdict.CONTINUE
    assert at(make, world(stopped, whole), 24).verdict is Verdict.INCONCLUSIVE
    # What was answered before counts for an early pass: eight steps in all are enough for it.
    assert at(make, world(stopped), 27).verdict is Verdict.CONTINUE
    assert at(make, world(stopped), 28).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("every", "verdict"), [(2, Verdict.PROMOTE), (3, Verdict.INCONCLUSIVE)])
@pytest.mark.parametrize("side", ["canary", "stable"])
def test_a_side_may_be_silent_for_a_tenth_of_the_window(
    make: Any, world: Any, side: str, every: int, verdict: Verdict
) -> None:
    """It gets few requests, or is scraped more rarely than the gate looks."""
    rare = counters(0.0, 0.0)
    total = list(rare[f"{side}_total"])
    rare[f"{side}_total"] = [total[age - age % every] for age in range(len(total))]
    decision = at(make, world(rare, replace(COMPARISON, early_pass=False)), 30)
    assert decision.verdict is verdict, decision.reason


@pytest.mark.parametrize("undecided", Undecided)
def test_all_looks_together_have_the_false_roll_backs_that_are_allowed(
    make: Any, world: Any, undecided: Undecided
) -> None:
    """The test at the window's end takes its half from what the looks before it may use."""
    comparison = replace(COMPARISON, undecided=undecided)
    compared = at(make, world(counters(0.0, 0.0), comparison), 1).checks[0].compared
    part = 0.5 if undecided is Undecided.TEST else 1.0
    assert math.exp(-compared.worse_needed) == pytest.approx(0.05 * part)
    assert math.exp(-compared.not_worse_needed) == pytest.approx(0.05)


def test_a_failure_stands_where_it_was_established_first(make: Any, world: Any) -> None:
    """The test at the window's end, which would find it too, comes too late to be the reason."""
    worse = world(counters(0.2, 0.01), replace(COMPARISON, undecided=Undecided.TEST))
    found = at(make, worse, 20).checks[0]
    assert found.failed_at == make.since + 1
    assert found.compared.chance is None


def test_a_comparison_that_may_pass_early_waits_for_no_threshold_out_of_reach(
    make: Any, world: Any
) -> None:
    policy, evidence = world(counters(0.0, 0.0))
    both = replace(policy, checks=(*policy.checks, make.check(name="score")), min_requests=10**6)
    decision = at(make, (both, replace(evidence, checks={**evidence.checks, "score": ()})), 25)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "score at most" in decision.reason


def test_an_early_pass_takes_answers_in_the_newest_step(make: Any, world: Any) -> None:
    steady = counters(0.01, 0.01, rate=1000)
    assert at(make, world(steady), 3).verdict is Verdict.PROMOTE
    silent = {name: [*v[:3], v[2], *v[4:]] for name, v in steady.items()}
    assert at(make, world(silent), 3).verdict is Verdict.CONTINUE
    assert at(make, world(silent), 4).verdict is Verdict.PROMOTE


def test_a_restarted_pod_is_counted_on(make: Any, world: Any) -> None:
    policy, evidence = world(counters(0.0, 0.0))
    other = make.series([500.0, 600.0, 5.0, 105.0], **{PART: "canary_total", "pod": "other"})
    evidence = replace(evidence, checks={"errors": (*evidence.checks["errors"], other)})
    compared = at(make, (policy, evidence), 3).checks[0].compared
    assert compared.canary == 300 + 100 + 5 + 100


@pytest.mark.parametrize(("side", "left"), [("canary", 200), ("stable", 1800)])
def test_counters_that_do_not_belong_together_count_for_nothing(
    make: Any, world: Any, side: str, left: float
) -> None:
    strange = counters(0.0, 0.0)
    strange[f"{side}_bad"] = [0.0, *[1000.0] * 30]
    decision = at(make, world(strange), 3)
    assert decision.verdict is not Verdict.ROLLBACK
    assert getattr(decision.checks[0].compared, side) == left
    assert getattr(decision.checks[0].compared, f"{side}_bad") == 0


def test_without_a_stable_version_the_check_is_left_out(make: Any, world: Any) -> None:
    policy = parse_policy(POLICY, "p.yaml")
    plan = make_plan(policy, {"service": "iris", "canary": "iris-2", "stable": ""})
    assert plan.skipped == ("versus",)
    assert [check.name for check in plan.policy.checks] == ["restarts"]


def test_the_record_and_the_report_show_both_sides(make: Any, world: Any) -> None:
    policy, evidence = world(counters(0.2, 0.01))
    decision = judge(policy, evidence, make.since + 3)
    plan = make_plan(policy, {"canary": "iris-2", "stable": "iris-1"})
    since = datetime.fromtimestamp(make.since, UTC)
    record = gate_record(plan, Tick(make.since + 3, evidence, decision), since, {})
    record = json.loads(json.dumps(record, allow_nan=False))
    check = record["checks"][0]
    assert [one["labels"]["side"] for one in check["series"]] == ["canary", "stable"]
    assert check["series"][0]["samples"][-1][1] == pytest.approx(0.2)
    assert len(check["counters"]) == len(PARTS)
    row = checks_of(record)[0]
    assert [line.role for line in row.chart.lines] == ["canary", "stable"]
    assert row.good == "at most 2 percentage points above stable"


POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: mine}
spec:
  window: 1m
  step: 5s
  timeout: 5m
  min_requests: 20
  coverage: 0.75
  no_data: wait
  checks:
    - name: versus
      compare:
        preset: error_rate
        margin: 0.005
    - name: restarts
      preset: proxy_restarts
      max: 0
"""
OWN = """\
        bad: errors{rev="${revision}"}
        total: answers{rev="${revision}"}
"""


def compared(text: str) -> Check:
    return parse_policy(text, "p.yaml").checks[0]


def test_a_comparison_is_read() -> None:
    check = compared(POLICY)
    assert check.compare == Comparison(0.005, 0.05, 0.05, Undecided.TEST)
    own = compared(POLICY.replace("        preset: error_rate\n", OWN))
    assert own.query.count("${canary}") == own.query.count("${stable}") == 2
    assert all(f'"{part}"' in own.query for part in PARTS)


FAULTS = [
    ("margin: 0.005", "margin: -1", r"p.yaml:15: spec.checks\[0\].compare.margin"),
    ("        margin: 0.005\n", "", "needs a margin\n  fix: add it, such as margin"),
    ("margin: 0.005", "margin: 0.005\n        false_rollback: 0", "false_rollback"),
    ("margin: 0.005", "margin: 0.005\n        undecided: pass", "undecided"),
    ("margin: 0.005", "margin: 0.005\n        early_pass: 1", "early_pass"),
    (
        "preset: error_rate",
        "preset: latency_p95",
        "no preset of a comparison\n  fix: write one of error_rat",
    ),
    ("        preset: error_rate\n", "", "either a preset, or bad and total"),
    ("        preset: error_rate\n", OWN.split("\n", maxsplit=1)[0] + "\n", "bad and total"),
    ("preset: error_rate", "preset: latency", "needs quantile and slower"),
    ("margin: 0.005", "margin: 0.005\n        slower: 0.2", "are for comparisons of latency"),
    (
        "preset: error_rate",
        "preset: latency\n        quantile: 0.9\n        slower: 1",
        "no margin",
    ),
    ("        preset: error_rate\n", OWN.replace('"${revision}"', "1"), r'names it as "\$\{revisi'),
    (
        "        preset: error_rate\n",
        OWN.replace('"$', "$").replace('}"', "}"),
        "outside of quotes",
    ),
    (
        "        margin: 0.005\n",
        "        margin: 0.005\n      max: 1\n",
        "takes no max\n  fix: remove it",
    ),
    ("compare:", "query: up\n      compare:", "either a preset or a query or compare"),
]


@pytest.mark.parametrize(("old", "new", "words"), FAULTS)
def test_a_fault_in_a_comparison_is_named(old: str, new: str, words: str) -> None:
    assert old in POLICY
    with pytest.raises(InputError, match=words):
        parse_policy(POLICY.replace(old, new, 1), "p.yaml")
