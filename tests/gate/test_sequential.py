"""The sequential test: fair bets, held false-alarm rates, and quick where a canary is bad."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coalmine.gate.sequential import (
    Counts,
    log_evidence_not_worse,
    log_evidence_worse,
    nearest_on_margin,
)

RATIO = st.floats(1e-5, 0.9)
MARGIN = st.sampled_from([0.0, 0.001, 0.005, 0.05])
REQUESTS = st.tuples(st.integers(1, 2000), st.integers(1, 20_000))


def divergence(guess: tuple[float, float], point: tuple[float, float], m: int, n: int) -> float:
    def one(q: float, p: float) -> float:
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    return m * one(guess[0], point[0]) + n * one(guess[1], point[1])


@settings(max_examples=200)
@given(RATIO, RATIO, REQUESTS, MARGIN, st.floats(-0.2, 0.2))
def test_no_other_point_of_the_margin_is_nearer(
    canary: float, stable: float, requests: tuple[int, int], margin: float, change: float
) -> None:
    guess = (canary, stable)
    found = nearest_on_margin(guess, requests, margin)
    assert found[0] - found[1] == pytest.approx(margin, abs=1e-12)
    other = found[1] * (1 + change)
    assume(0 < other < 1 - margin)
    least = divergence(guess, found, *requests)
    assert least <= divergence(guess, (other + margin, other), *requests) + 1e-9 * (1 + least)


@settings(max_examples=300)
@given(
    st.tuples(RATIO, RATIO),
    REQUESTS,
    MARGIN,
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([1, -1]),
)
def test_a_bet_cannot_be_expected_to_win_under_the_null_hypothesis(
    guess: tuple[float, float],
    requests: tuple[int, int],
    margin: float,
    truth: tuple[float, float],
    side: int,
) -> None:
    """The expected gain has a closed form: a product over all requests of both sides."""
    assume((guess[0] - guess[1] - margin) * side > 1e-9)
    stable, slack = truth[0] * (1 - margin), truth[1]
    canary = stable + margin
    canary -= slack * canary if side > 0 else -slack * (1 - canary)
    null = nearest_on_margin(guess, requests, margin)

    def log_mean(true: float, guessed: float, nearest: float) -> float:
        return math.log(true * guessed / nearest + (1 - true) * (1 - guessed) / (1 - nearest))

    expected = requests[0] * log_mean(canary, guess[0], null[0])
    expected += requests[1] * log_mean(stable, guess[1], null[1])
    assert expected <= 1e-6


def outcomes(canary: float, stable: float) -> list[tuple[float, Counts]]:
    """Every outcome of a step with three requests on either side, with its probability."""

    def chance(bad: int, ratio: float) -> float:
        return math.comb(3, bad) * ratio**bad * (1 - ratio) ** (3 - bad)

    both = itertools.product(range(4), repeat=2)
    return [(chance(b, canary) * chance(w, stable), Counts(b, 3, w, 3, 0.05 * 3)) for b, w in both]


@pytest.mark.parametrize("stable", [0.001, 0.02, 0.3, 0.9])
def test_the_whole_evidence_cannot_be_expected_to_grow_under_the_null_hypothesis(
    stable: float,
) -> None:
    """By Ville's inequality this alone holds the false alarms. Every outcome is counted."""
    steps = outcomes(stable + 0.05, stable)
    for weigh in (log_evidence_worse, log_evidence_not_worse):
        expected = [0.0, 0.0]
        for (one, first), (two, second) in itertools.product(steps, repeat=2):
            for look, log in enumerate(weigh([first, second])):
                expected[look] += one * two * math.exp(log)
        assert max(expected) <= 1 + 1e-9


def counts(random_: random.Random, canary: float, stable: float, requests: int) -> Counts:
    """Binomial counts for one step; stable has four times the requests, the margin is 0.01."""

    def bad(total: int, ratio: float) -> int:
        return sum(random_.random() < ratio for _ in range(total))

    total = 4 * requests
    return Counts(bad(requests, canary), requests, bad(total, stable), total, 0.01 * requests)


def crossings(
    weigh: Callable[..., tuple[float, ...]], ratios: Callable[[int], tuple[float, float]]
) -> float:
    """The part of 200 canaries for which the evidence at 5 % is in at any of 40 looks."""
    random_, level, found = random.Random(7), math.log(20), 0
    for _ in range(200):
        steps = [counts(random_, *ratios(number), 25) for number in range(40)]
        found += max(weigh(steps)) >= level
    return found / 200


# At 5 % the count among 200 is above 18 with a probability below 1 %: that is the tolerance.
MOST = 18 / 200


@pytest.mark.parametrize("stable", [0.0, 0.01, 0.2])
def test_false_alarms_are_held_however_often_one_looks(stable: float) -> None:
    def ratios(_: int) -> tuple[float, float]:
        return stable + 0.01, stable

    assert crossings(log_evidence_worse, ratios) <= MOST
    assert crossings(log_evidence_not_worse, ratios) <= MOST


def test_false_alarms_are_held_while_both_drift_together() -> None:
    def ratios(number: int) -> tuple[float, float]:
        base = 0.3 if 10 <= number < 20 else 0.01
        return base + 0.01, base

    assert crossings(log_evidence_worse, ratios) <= MOST
    assert crossings(log_evidence_not_worse, ratios) <= MOST


def test_most_bad_and_most_good_canaries_are_found() -> None:
    assert crossings(log_evidence_worse, lambda _: (0.06, 0.01)) >= 0.95
    assert crossings(log_evidence_worse, lambda number: (0.3 if number > 25 else 0.0, 0.0)) >= 0.95
    assert crossings(log_evidence_not_worse, lambda _: (0.0, 0.0)) >= 0.95


def test_a_canary_that_fails_a_fifth_is_found_at_the_first_look() -> None:
    assert log_evidence_worse([Counts(10, 50, 0, 450, 0.25)])[0] >= math.log(20)


@pytest.mark.parametrize("step", [Counts(0, 0, 3, 90), Counts(5, 10, 0, 0), Counts(0, 0, 0, 0)])
def test_a_step_without_answers_on_one_side_says_nothing(step: Counts) -> None:
    assert log_evidence_worse([step])[0] == pytest.approx(0.0)
    assert log_evidence_not_worse([step])[0] == pytest.approx(0.0)


def test_where_nothing_can_be_worse_than_the_margin_nothing_is_bet_on_it() -> None:
    path = log_evidence_worse([Counts(100, 100, 950, 1000, 10)] * 20)
    assert max(path) <= math.log(20)
    assert path[-1] == pytest.approx(path[0], abs=1e-6)


@pytest.mark.parametrize("extreme", [Counts(1e9, 1e9, 0, 1e10), Counts(0, 1e9, 1e10, 1e10)])
def test_huge_counts_stay_numbers(extreme: Counts) -> None:
    for weigh in (log_evidence_worse, log_evidence_not_worse):
        path = weigh([extreme, Counts(1, 100, 1, 900, 0.5), extreme])
        assert not any(math.isnan(value) for value in path)


STEP = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 300), st.integers(0, 300))


@given(st.lists(STEP, max_size=12), st.integers(0, 12), MARGIN)
def test_what_comes_later_changes_no_evidence_from_before(
    answered: list[tuple[int, int, int, int]], cut: int, margin: float
) -> None:
    """So a gate that was killed and runs again comes to the same evidence at each point."""
    steps = [
        Counts(bad, bad + good, worse, worse + fine, margin * (bad + good))
        for bad, good, worse, fine in answered
    ]
    for weigh in (log_evidence_worse, log_evidence_not_worse):
        assert weigh(steps[:cut]) == weigh(steps)[:cut]


MEASURED = {
    0.0: (
        (
            -0.11197336829828113,
            2.581274258651051,
            2.581274258651051,
            3.2382387200043423,
            2.68864715,
        ),
        (0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    0.01: (
        (-0.24939975340762122, 0.22722651638, 0.22722651638, 0.65157018256, -0.00093498273),
        (0.1944806391247439, -0.859570306385, -0.859570306385, -1.363945813976, -1.267065175924),
    ),
}
"""The evidence by the rule of which docs/gate-quality.md tells how right it is."""


@pytest.mark.parametrize("margin", MEASURED)
def test_the_rule_is_the_one_whose_quality_was_measured(margin: float) -> None:
    seen = [(0, 50, 1, 450), (2, 40, 0, 460), (0, 0, 0, 0), (3, 55, 4, 440), (0, 60, 2, 430)]
    steps = [Counts(*step, allowed=margin * step[1]) for step in seen]
    worse, not_worse = MEASURED[margin]
    assert log_evidence_worse(steps) == pytest.approx(worse, abs=1e-7)
    assert log_evidence_not_worse(steps) == pytest.approx(not_worse, abs=1e-7)
