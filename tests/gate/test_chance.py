"""The test at the window's end: exact where it can be, on the safe side elsewhere."""

from __future__ import annotations

import math
import random

import pytest

from coalmine.gate.chance import MOST_TERMS, chance_of_as_many
from coalmine.gate.sequential import NOTHING, Counts


def binomial_tail(count: int, total: int, part: float) -> float:
    return sum(
        math.comb(total, k) * part**k * (1 - part) ** (total - k) for k in range(count, total + 1)
    )


@pytest.mark.parametrize(("canary_bad", "stable_bad"), [(0, 0), (1, 0), (3, 0), (4, 12), (30, 90)])
def test_without_a_margin_it_is_the_conditional_binomial_test(
    canary_bad: int, stable_bad: int
) -> None:
    chance = chance_of_as_many([Counts(canary_bad, 1000, stable_bad, 9000)])
    exact = binomial_tail(canary_bad, canary_bad + stable_bad, 0.1)
    assert chance == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_a_margin_allows_more() -> None:
    chances = [
        chance_of_as_many([Counts(20, 1000, 90, 9000, allowed)]) for allowed in (0, 5, 10, 20)
    ]
    assert chances == sorted(chances)
    assert chances[0] < 0.01
    assert chances[-1] > 0.9


def test_an_hour_that_was_bad_for_both_counts_the_same_on_both() -> None:
    """Half of the traffic goes to the canary just while a fifth of all answers fail."""
    quiet, bad = Counts(1, 100, 9, 900), Counts(100, 500, 100, 500)
    assert chance_of_as_many([quiet, bad]) > 0.3
    assert chance_of_as_many([quiet + bad]) < 1e-6


@pytest.mark.parametrize(
    "steps", [[], [NOTHING], [Counts(5, 10, 0, 0)], [Counts(0, 0, 5, 10), NOTHING]]
)
def test_what_says_nothing_is_chance(steps: list[Counts]) -> None:
    assert chance_of_as_many(steps) == 1.0


def test_many_answers_go_on_where_few_ended() -> None:
    few, many = (
        chance_of_as_many([Counts(count, 1e5, 9 * (count - 60), 9e5)])
        for count in (MOST_TERMS, MOST_TERMS + 1)
    )
    assert many == pytest.approx(few, rel=0.03)
    assert chance_of_as_many([Counts(1e9, 1e9, 0, 1e10)]) == 0.0


@pytest.mark.parametrize(("ratio", "margin"), [(0.002, 0.0), (0.05, 0.0), (0.01, 0.01)])
def test_false_alarms_are_held(ratio: float, margin: float) -> None:
    random_, runs, alarms = random.Random(5), 1500, 0
    for _ in range(runs):
        canary = sum(random_.random() < ratio + margin for _ in range(800))
        # Few enough of stable's are bad for a Poisson number; it is drawn from exponential times.
        stable = drawn(random_, 7200 * ratio)
        alarms += chance_of_as_many([Counts(canary, 800, stable, 7200, 800 * margin)]) <= 0.05
    # At 5 % there are more than 95 among 1500 with a probability below 1 %.
    assert alarms <= 95


def drawn(random_: random.Random, mean: float) -> int:
    time, count = random_.expovariate(1), 0
    while time < mean:
        time, count = time + random_.expovariate(1), count + 1
    return count
