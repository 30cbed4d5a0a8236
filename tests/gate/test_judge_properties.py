"""What holds for the judge whatever is measured."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.gate.judge import Verdict, judge
from coalmine.gate.model import FailAfter, NoData

VALUE = st.sampled_from([0.0, 0.04, 0.06, 1.0, math.nan, math.inf, None])
VALUES = st.lists(VALUE, max_size=32)
NO_DATA = st.sampled_from(list(NoData))
LIMITS = st.builds(FailAfter, consecutive=st.integers(1, 6), total=st.none() | st.integers(1, 8))
MOMENT = st.floats(0, 35)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=3), NO_DATA, MOMENT)
def test_without_requests_nothing_is_promoted(
    make: Any, values: list[list[float | None]], no_data: NoData, moment: float
) -> None:
    policy = make.policy(make.check(no_data=no_data), min_requests=1)
    evidence = make.evidence(*values, requests=[])
    assert judge(policy, evidence, make.since + moment).verdict is not Verdict.PROMOTE


@settings(deadline=None)
@given(VALUES, MOMENT)
def test_a_promotion_has_a_window_full_of_good_samples(
    make: Any, values: list[float | None], moment: float
) -> None:
    decision = judge(make.policy(), make.evidence(values, rate=20), make.since + moment)
    if decision.verdict is Verdict.PROMOTE:
        good = [v for v in values[: math.floor(moment) + 1] if v is not None and v <= 0.05]
        assert len(good) + decision.checks[0].failing >= 8
        assert decision.requests >= 10
        assert moment >= 10


@settings(deadline=None)
@given(VALUES, LIMITS, NO_DATA, st.tuples(MOMENT, MOMENT))
def test_a_rollback_stays_a_rollback(
    make: Any,
    values: list[float | None],
    limits: FailAfter,
    no_data: NoData,
    moments: tuple[float, float],
) -> None:
    moment, later = moments
    policy = make.policy(make.check(fail_after=limits, no_data=no_data))
    evidence = make.evidence(values)
    if judge(policy, evidence, make.since + moment).verdict is Verdict.ROLLBACK:
        again = judge(policy, evidence, make.since + moment + later)
        assert again.verdict is Verdict.ROLLBACK


@settings(deadline=None)
@given(VALUES, LIMITS, st.integers(0, 31), MOMENT)
def test_a_failing_sample_never_turns_a_rollback_into_a_promotion(
    make: Any, values: list[float | None], limits: FailAfter, place: int, moment: float
) -> None:
    policy = make.policy(make.check(fail_after=limits))
    worse = [*values, *([None] * (32 - len(values)))]
    worse[place] = 1.0
    before = judge(policy, make.evidence(values, rate=20), make.since + moment).verdict
    after = judge(policy, make.evidence(worse, rate=20), make.since + moment).verdict
    assert not (before is Verdict.ROLLBACK and after is not Verdict.ROLLBACK)


@settings(max_examples=200, deadline=None)
@given(
    VALUES,
    st.lists(VALUE, max_size=32),
    st.sampled_from([0.5, 0.8, 1.0]),
    st.sampled_from([10.0, 14.0, 30.0]),
)
def test_what_ends_early_as_inconclusive_could_not_have_been_promoted(
    make: Any,
    values: list[float | None],
    later: list[float | None],
    coverage: float,
    timeout: float,
) -> None:
    policy = make.policy(coverage=coverage, timeout=timeout)
    for moment in range(min(len(values), int(timeout))):
        known = make.evidence(values[: moment + 1], requests=[20.0 * i for i in range(32)])
        if judge(policy, known, make.since + moment).verdict is Verdict.INCONCLUSIVE:
            goes_on = [*values[:moment], *later, *[0.0] * 32][:32]
            whole = make.evidence(goes_on, requests=[20.0 * i for i in range(32)])
            end = judge(policy, whole, make.since + timeout).verdict
            assert end in {Verdict.INCONCLUSIVE, Verdict.ROLLBACK}
            return


@settings(deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=4), st.randoms(), MOMENT)
def test_the_order_of_series_means_nothing(
    make: Any, values: list[list[float | None]], random: Any, moment: float
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    one = judge(make.policy(), make.evidence(*values, rate=5), make.since + moment)
    other = judge(make.policy(), make.evidence(*shuffled, rate=5), make.since + moment)
    assert one == other


@settings(max_examples=200, deadline=None)
@given(VALUES, LIMITS, NO_DATA, st.tuples(st.floats(0, 40), st.floats(0, 40)))
def test_a_gate_that_was_killed_comes_to_the_same_verdict(
    make: Any,
    values: list[float | None],
    limits: FailAfter,
    no_data: NoData,
    absence: tuple[float, float],
) -> None:
    policy = make.policy(make.check(fail_after=limits, no_data=no_data))

    def run(pause: tuple[float, float]) -> tuple[Verdict, float]:
        moment = 0.0
        while True:
            seen = make.evidence(values[: math.floor(moment) + 1])
            verdict = judge(policy, seen, make.since + moment).verdict
            if verdict is not Verdict.CONTINUE:
                return verdict, moment
            moment = sum(pause) if moment + 1 > pause[0] > moment else moment + 1

    verdict, first = run((math.inf, 0.0))
    again, ended = run(absence)
    if verdict is not Verdict.ROLLBACK and again is Verdict.ROLLBACK:
        # Then, and only then, the canary failed while nobody looked, after the first verdict.
        seen = make.evidence(values[: math.floor(ended) + 1])
        failed_at = judge(policy, seen, make.since + ended).checks[0].failed_at
        assert failed_at is not None
        assert failed_at > make.since + first
    else:
        assert again is verdict
