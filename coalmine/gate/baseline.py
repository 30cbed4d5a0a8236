"""A ``baseline`` check: whether the canary's values lie apart from stable's, by Mann-Whitney.

What is computed and when it counts follows Kayenta's judge: MannWhitneyClassifier.scala and
NetflixACAJudge.scala in github.com/spinnaker/kayenta (tolerance 0.25, confidence 0.98), and its
docs/canary-config.md for the direction and the effect size. The canary is high if the confidence
interval of its shift lies above ``tolerance`` times the shift that is estimated, and its mean is
at least ``allowed_increase`` times stable's; low the other way round.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist, fmean, median

from coalmine.gate.comparison import PART

__all__ = [
    "LEAST_POINTS",
    "SIDES",
    "Baseline",
    "Direction",
    "Ranked",
    "baseline_query",
    "rank",
    "shift_interval",
]

SIDES = ("canary", "stable")
LEAST_POINTS = 10
"""With fewer values of a side the normal approximation below is not good enough."""


class Direction(StrEnum):
    """Where the canary must not lie."""

    INCREASE = "increase"
    """Above stable."""
    DECREASE = "decrease"
    """Below stable."""
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the canary's values are held against stable's.

    Attributes:
        direction: Which difference is bad.
        tolerance: How much of the estimated shift the whole confidence interval has to exceed.
        confidence: The confidence of the interval, two-sided.
        allowed_increase: How many times stable's mean the canary's may be; at least 1.
        allowed_decrease: The same downwards; above 0, at most 1.
    """

    direction: Direction
    tolerance: float = 0.25
    confidence: float = 0.98
    allowed_increase: float = 1.0
    allowed_decrease: float = 1.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """What one comparison of a window came to.

    Attributes:
        shift: How much higher the canary's values are: the Hodges-Lehmann estimate.
        lower: Lower end of its confidence interval.
        upper: Upper end.
        ratio: The canary's mean by stable's; None where only stable's is 0.
        bad: Whether the canary lies where it must not.
    """

    shift: float
    lower: float
    upper: float
    ratio: float | None
    bad: bool


def baseline_query(query: str) -> str:
    """Ask for both sides at once, each labelled with its side.

    Args:
        query: Template of an expression that gives one series of a revision, with ``${revision}``.
    """
    sides = (
        f'label_replace(\n{query.replace("${revision}", f"${{{side}}}")}\n, "{PART}", "{side}", '
        '"", "")'
        for side in SIDES
    )
    return "\nor ".join(sides)


def rank(canary: Sequence[float], stable: Sequence[float], baseline: Baseline) -> Ranked:
    """Compare two sets of finite values; each has at least one."""
    shift, lower, upper = shift_interval(canary, stable, baseline.confidence)
    ratio, bound = _ratio(fmean(canary), fmean(stable)), baseline.tolerance * abs(shift)
    high = lower > bound and ratio >= baseline.allowed_increase
    low = upper < -bound and ratio <= baseline.allowed_decrease
    bad = (high and baseline.direction is not Direction.DECREASE) or (
        low and baseline.direction is not Direction.INCREASE
    )
    return Ranked(shift, lower, upper, ratio if math.isfinite(ratio) else None, bad)


def shift_interval(
    canary: Sequence[float], stable: Sequence[float], confidence: float
) -> tuple[float, float, float]:
    """Estimate by how much the canary's values are shifted, and how surely.

    The inversion of the Mann-Whitney test with its normal approximation, continuity correction and
    correction for ties, as R's ``wilcox.test(conf.int = TRUE, exact = FALSE)`` has it and Kayenta
    after it: the statistic at a shift counts the pairs that differ by more, so its roots are order
    statistics of the differences (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods,
    section 4.3).

    Returns:
        The estimate, and the lower and upper end of its interval, in the values' unit.
    """
    differences = sorted(ours - theirs for ours in canary for theirs in stable)
    pairs, count = len(differences), len(canary) + len(stable)
    ties = sum(n**3 - n for side in (canary, stable) for n in Counter(side).values())
    spread = count + 1 - ties / (count * (count - 1))
    sigma = math.sqrt(pairs / 12 * max(0.0, spread))
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    outside = max(0, math.floor(pairs / 2 - 0.5 - quantile * sigma))
    return median(differences), differences[outside], differences[pairs - 1 - outside]


def _ratio(canary: float, stable: float) -> float:
    if stable:
        return canary / stable
    return math.copysign(math.inf, canary) if canary else 1.0
