"""The judge: the rules, and a test for each edge case that other systems got wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from coalmine.gate.judge import Verdict, judge, unavailable
from coalmine.gate.model import FailAfter, NoData, OnInconclusive
from coalmine.gate.tally import CheckState

GOOD = [0.0] * 11


def test_a_good_canary_is_promoted_when_the_window_is_over(make: Any) -> None:
    evidence = make.evidence(GOOD)
    assert judge(make.policy(), evidence, make.since + 9.9).verdict is Verdict.CONTINUE
    decision = judge(make.policy(), evidence, make.since + 10)
    assert decision.verdict is Verdict.PROMOTE
    assert decision.requests == 50
    assert decision.reason == "every check passed for 10s and 50 requests: errors at worst 0 %"


def test_a_bad_canary_is_rolled_back_long_before_the_window_is_over(make: Any) -> None:
    decision = judge(make.policy(), make.evidence([0, 0.3, 0.31, 0.3]), make.since + 3)
    assert decision.verdict is Verdict.ROLLBACK
    assert decision.reason == (
        "errors was 31 % at worst (at most 5 % is good) in 3 samples in a row, after 3s"
    )
    assert decision.checks[0].state is CheckState.FAILED
    assert decision.checks[0].failed_at == make.since + 3


def test_one_unlucky_sample_is_forgiven(make: Any) -> None:
    decision = judge(make.policy(), make.evidence([0, 0, 1, *GOOD]), make.since + 13)
    assert decision.verdict is Verdict.PROMOTE


def test_the_total_limit_counts_samples_that_are_not_in_a_row(make: Any) -> None:
    policy = make.policy(make.check(fail_after=FailAfter(consecutive=None, total=3)))
    assert judge(policy, make.evidence([1, 0, 1, 0, 0]), make.since + 4).verdict == "continue"
    decision = judge(policy, make.evidence([1, 0, 1, 0, 1]), make.since + 4)
    assert decision.verdict is Verdict.ROLLBACK
    assert "in 3 samples, after 4s" in decision.reason


def test_a_canary_that_is_bad_at_the_windows_end_is_not_promoted(make: Any) -> None:
    decision = judge(make.policy(), make.evidence([*GOOD[:9], 1, 1]), make.since + 10)
    assert decision.verdict is Verdict.CONTINUE
    assert decision.checks[0].state is CheckState.FAILING


@pytest.mark.parametrize(("newest", "state"), [(0.0, "passing"), (1.0, "failing")])
def test_where_the_last_sample_is_missing_the_newest_one_counts(
    make: Any, newest: float, state: str
) -> None:
    requests = [5.0 * age for age in range(11)]
    evidence = make.evidence([*GOOD[:9], newest, None], requests=requests)
    decision = judge(make.policy(), evidence, make.since + 10)
    assert decision.checks[0].state == state
    assert decision.verdict is (Verdict.CONTINUE if newest else Verdict.PROMOTE)
    assert ("errors is 100 %" in decision.reason) == bool(newest)


def test_too_few_requests_are_waited_for(make: Any) -> None:
    few = make.evidence([0.0] * 31, rate=0.5)
    assert judge(make.policy(), few, make.since + 19).verdict is Verdict.CONTINUE
    assert judge(make.policy(), few, make.since + 20).verdict is Verdict.PROMOTE
    fewer = make.evidence([0.0] * 31, rate=0.3)
    decision = judge(make.policy(), fewer, make.since + 30)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "after 30s: the canary has answered 9 of 10 requests"


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_no_data_is_never_a_pass_by_accident(make: Any, value: float | None) -> None:
    evidence = make.evidence([value] * 31)
    for outcome, verdict in {"wait": Verdict.INCONCLUSIVE, "fail": Verdict.ROLLBACK}.items():
        policy = make.policy(make.check(no_data=NoData(outcome), minimum=0.0))
        assert judge(policy, evidence, make.since + 30).verdict is verdict


def test_no_data_passes_only_where_the_policy_says_so(make: Any) -> None:
    policy = make.policy(make.check(no_data=NoData.PASS, minimum=0.0))
    for value in (None, math.nan):
        assert judge(policy, make.evidence([value] * 11), make.since + 10).verdict == "promote"
    for value in (math.inf, -math.inf):
        assert judge(policy, make.evidence([value] * 11), make.since + 10).verdict == "rollback"


def test_no_traffic_is_never_promoted_even_where_no_data_passes(make: Any) -> None:
    policy = make.policy(make.check(no_data=NoData.PASS))
    decision = judge(policy, make.evidence([None] * 31, requests=[]), make.since + 30)
    assert decision.verdict is Verdict.INCONCLUSIVE


def test_traffic_that_stops_in_mid_gate_is_inconclusive(make: Any) -> None:
    evidence = make.evidence([0.0] * 6 + [math.nan] * 25)
    decision = judge(make.policy(), evidence, make.since + 30)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "after 30s: errors has 0% of the window's samples (80% needed)"


def test_one_sample_does_not_satisfy_a_window(make: Any) -> None:
    evidence = make.evidence([*([None] * 10), 0.0])
    assert judge(make.policy(), evidence, make.since + 10).verdict is Verdict.CONTINUE


def test_late_traffic_gets_a_whole_window_of_its_own(make: Any) -> None:
    evidence = make.evidence([None] * 15 + [0.0] * 10, rate=5)
    assert judge(make.policy(), evidence, make.since + 21).verdict is Verdict.CONTINUE
    assert judge(make.policy(), evidence, make.since + 22).verdict is Verdict.PROMOTE


def test_every_series_is_judged(make: Any) -> None:
    for order in ([GOOD, [1.0] * 11], [[1.0] * 11, GOOD]):
        assert judge(make.policy(), make.evidence(*order), make.since + 10).verdict == "rollback"


def test_a_series_without_a_number_spoils_its_points(make: Any) -> None:
    evidence = make.evidence(GOOD, [math.nan] * 11)
    assert judge(make.policy(), evidence, make.since + 10).verdict is Verdict.CONTINUE


@pytest.mark.parametrize("threshold", [0.95, 0.99])
def test_thresholds_are_floats(make: Any, threshold: float) -> None:
    policy = make.policy(make.check(minimum=threshold, maximum=None))
    below, at = [threshold - 1e-9] * 11, [threshold] * 11
    assert judge(policy, make.evidence(below), make.since + 10).verdict is Verdict.ROLLBACK
    assert judge(policy, make.evidence(at), make.since + 10).verdict is Verdict.PROMOTE


def test_samples_before_the_delay_do_not_count(make: Any) -> None:
    policy = make.policy(delay=5.0)
    evidence = make.evidence([1.0] * 5 + [0.0] * 11)
    assert judge(policy, evidence, make.since + 14).verdict is Verdict.CONTINUE
    decision = judge(policy, evidence, make.since + 15)
    assert decision.verdict is Verdict.PROMOTE
    assert decision.requests == 50


def test_what_fails_after_the_window_is_still_rolled_back(make: Any) -> None:
    evidence = make.evidence([*GOOD, 1, 1, 1])
    assert judge(make.policy(), evidence, make.since + 13).verdict is Verdict.ROLLBACK


def test_a_point_without_data_does_not_end_a_row_of_failures(make: Any) -> None:
    decision = judge(make.policy(), make.evidence([1, None, 1, None, 1]), make.since + 4)
    assert decision.verdict is Verdict.ROLLBACK


def test_a_counter_that_was_reset_is_counted_on(make: Any) -> None:
    evidence = make.evidence(GOOD, requests=[0, 4, 8, 1, 5, 9, 9, 9, 9, 9, 9])
    assert judge(make.policy(), evidence, make.since + 10).requests == 17


def test_a_counter_that_appears_late_began_at_nothing(make: Any) -> None:
    evidence = make.evidence(GOOD, requests=[None, None, 7, 9, 9, 9, 9, 9, 9, 9, 9])
    assert judge(make.policy(), evidence, make.since + 10).requests == 9


def test_a_policy_may_make_inconclusive_a_rollback(make: Any) -> None:
    policy = make.policy(on_inconclusive=OnInconclusive.ROLLBACK)
    assert judge(policy, make.evidence([]), make.since + 30).verdict is Verdict.ROLLBACK


def test_a_check_without_an_answer_waits(make: Any) -> None:
    evidence = replace(make.evidence(GOOD), checks={})
    decision = judge(make.policy(), evidence, make.since + 10)
    assert decision.verdict is Verdict.CONTINUE
    assert decision.checks[0].state is CheckState.WAITING


def test_a_clock_behind_the_canarys_start_decides_nothing(make: Any) -> None:
    assert judge(make.policy(), make.evidence([]), make.since - 5).verdict is Verdict.CONTINUE


def test_metrics_that_never_answer_are_inconclusive(make: Any) -> None:
    assert unavailable(make.policy(), 0.0, 29.9, "down").verdict is Verdict.CONTINUE
    decision = unavailable(make.policy(), 0.0, 30.0, "down")
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "the metrics could not be read: down"


def test_an_advisory_check_is_told_and_decides_nothing(make: Any) -> None:
    advice = make.check(name="advice", advisory=True)
    policy = make.policy(make.check(), advice)
    evidence = make.evidence(GOOD)
    bad = replace(evidence, checks={**evidence.checks, "advice": (make.series([1.0] * 11),)})
    decision = judge(policy, bad, make.since + 10)
    assert decision.verdict is Verdict.PROMOTE
    assert decision.checks[1].state is CheckState.FAILED
    assert judge(policy, evidence, make.since + 10).verdict is Verdict.PROMOTE


def test_the_gate_ends_early_once_coverage_is_out_of_reach(make: Any) -> None:
    evidence = make.evidence([0.0] * 6 + [math.nan] * 25)
    # The last window before the timeout begins behind 20 s; two of its ten samples may be missing,
    # and the newest sample may still be on its way.
    assert judge(make.policy(), evidence, make.since + 23).verdict is Verdict.CONTINUE
    decision = judge(make.policy(), evidence, make.since + 24)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == (
        "after 24s: too many samples are missing to make up for by the timeout of 30s: "
        "errors at most 70% of a window's (80% needed)"
    )


def test_what_ends_early_is_held_or_rolled_back_as_the_policy_says(make: Any) -> None:
    evidence = make.evidence([0.0] * 6 + [math.nan] * 25)
    hold = make.policy(on_inconclusive=OnInconclusive.HOLD, hold=20.0)
    assert judge(hold, evidence, make.since + 24).verdict is Verdict.HOLD
    back = make.policy(on_inconclusive=OnInconclusive.ROLLBACK)
    assert judge(back, evidence, make.since + 24).verdict is Verdict.ROLLBACK


def test_an_advisory_check_ends_nothing_early(make: Any) -> None:
    policy = make.policy(make.check(), make.check(name="advice", advisory=True))
    few = make.evidence([0.0] * 31, rate=0.3)
    assert judge(policy, few, make.since + 29).verdict is Verdict.CONTINUE


def test_an_inconclusive_canary_is_held_and_still_rolled_back(make: Any) -> None:
    policy = make.policy(on_inconclusive=OnInconclusive.HOLD, hold=20.0)
    few = make.evidence([0.0] * 51, rate=0.3)
    assert judge(policy, few, make.since + 29).verdict is Verdict.CONTINUE
    assert judge(policy, few, make.since + 30).verdict is Verdict.HOLD
    assert judge(policy, few, make.since + 49).verdict is Verdict.HOLD, "9 of 10, then 14 of 10"
    assert judge(policy, few, make.since + 50).verdict is Verdict.INCONCLUSIVE
    breaks = make.evidence([*[0.0] * 40, 1, 1, 1], rate=0.3)
    assert judge(policy, breaks, make.since + 41).verdict is Verdict.HOLD
    assert judge(policy, breaks, make.since + 42).verdict is Verdict.ROLLBACK
    assert unavailable(policy, make.since, make.since + 31, "away").verdict is Verdict.HOLD
    assert unavailable(policy, make.since, make.since + 50, "away").verdict == "inconclusive"
