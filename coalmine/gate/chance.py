"""Is what a whole window showed more than chance explains? One test, to look at once.

With answers that are independent and bad ones that are rare, bad answers come as a Poisson process.
Stable's, ``s`` in all, tell its rate no better than a gamma distribution of shape ``s + 1``, the
upper end of what they leave open. So the canary's bad answers, were it as good as just allowed, are
a negative binomial number plus a Poisson one for what the margin allows. Without a margin this is
the conditional test of J. Przyborowski and H. Wilenski, "Homogeneity of results in testing samples
from Poisson series", Biometrika 31 (1940): given all bad answers, the canary's share of them is
binomial. It is exact, and on the safe side where bad answers are not rare, for answers that are
right or wrong vary less than a Poisson process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import NormalDist

from coalmine.gate.sequential import NOTHING, Counts

__all__ = ["chance_of_as_many"]

EPSILON = 1e-6
MOST_TERMS = 2000
"""From here on the sum is as good as normally distributed, and would take long."""


def chance_of_as_many(steps: Iterable[Counts]) -> float:
    """Give the probability that a canary as bad as is just allowed has as many bad answers.

    Stable's bad answers are weighed by the canary's requests for each of stable's in the step in
    which they came, so that a bad hour of the whole service counts the same on both sides, however
    the traffic was split in it. Steps in which a side answered nothing are left out.

    Args:
        steps: What was answered in each step.

    Returns:
        From 0 to 1; 1 where nothing was answered.
    """
    both = [step for step in steps if step.two_sided]
    seen = sum(both, NOTHING)
    if not both:
        return 1.0
    expected = sum(step.stable_bad * step.canary / step.stable for step in both)
    split = expected / seen.stable_bad if seen.stable_bad else seen.canary / seen.stable
    return _upper_tail(
        math.floor(seen.canary_bad + EPSILON), seen.stable_bad + 1, split, seen.allowed
    )


def _upper_tail(count: int, shape: float, split: float, more: float) -> float:
    """Give P(N + M >= count): N negative binomial of mean ``shape * split``, M Poisson."""
    if count > MOST_TERMS:
        spread = math.sqrt(shape * split * (1 + split) + more)
        return 1 - NormalDist(shape * split + more, spread).cdf(count - 0.5)
    one = list(_negative_binomial(count, shape, split))
    other = list(_cumulated(_poisson(count, more)))
    return max(0.0, 1 - math.fsum(p * q for p, q in zip(one, reversed(other), strict=True)))


def _negative_binomial(count: int, shape: float, split: float) -> Iterator[float]:
    """Give the probabilities of 0 up to, and without, ``count``."""
    log, each = -shape * math.log1p(split), math.log(split / (1 + split))
    for number in range(count):
        yield math.exp(log)
        log += each + math.log((number + shape) / (number + 1))


def _poisson(count: int, mean: float) -> Iterator[float]:
    log = -mean
    for number in range(count):
        yield math.exp(log)
        log += math.log(mean / (number + 1)) if mean > 0 else -math.inf


def _cumulated(parts: Iterable[float]) -> Iterator[float]:
    total = 0.0
    for part in parts:
        total += part
        yield total
