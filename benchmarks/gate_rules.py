"""The rules that ``gate_quality`` compares, each as its own documentation and source state it.

What they share: the canary's share stays at 10 %, and the outcome is a verdict and a step. A rule
that comes to none by the end has not promoted, which counts as a roll-back at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from gate_traffic import STEP, STEPS, Traffic
from numpy.typing import NDArray

from coalmine.gate.compare import CompareTally, compare_counts
from coalmine.gate.comparison import Comparison, Undecided
from coalmine.gate.evidence import Grid
from coalmine.gate.model import Check, FailAfter, NoData
from coalmine.gate.sequential import Counts

__all__ = ["RULES", "Outcome", "Rule"]

MINUTE, WINDOW = 12, 120
"""In steps."""
MIN_REQUESTS, COVERAGE = 100, 0.8
Ratios = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a canary was promoted, and at which step there was a verdict."""

    promoted: bool
    step: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with the one number that it is tuned by.

    Attributes:
        name: Whose it is.
        default: The number in its documentation.
        choices: Numbers to tune it with, the strictest first.
        judge: Judges every canary of some traffic.
    """

    name: str
    default: float
    choices: tuple[float, ...]
    judge: Callable[[Traffic, float], list[Outcome]]


def ours(traffic: Traffic, margin: float) -> list[Outcome]:
    """Judge by a ``compare`` check as it runs in the gate, looked at every five seconds."""
    return [_ours(traffic, row, margin, early=True) for row in range(len(traffic.canary))]


def ours_patient(traffic: Traffic, margin: float) -> list[Outcome]:
    """Judge in the same way with ``early_pass: false``: a promotion takes the whole window."""
    return [_ours(traffic, row, margin, early=False) for row in range(len(traffic.canary))]


def prometheus_gate(traffic: Traffic, percent: float) -> list[Outcome]:
    """Judge as iancoffey/prometheus-gate does (gate.go and README.md).

    The error rate in percent over one minute is asked once a minute (TICK_TIME) for a range of five
    minutes (RANGE_TIME) that is fixed when the gate starts, here after five minutes. It passes once
    every sample that is there, cut to an integer, is at most TARGET_VALUE, an integer. It knows no
    roll-back: what does not pass waits. TIMEOUT is read and not used.
    """
    ratios = 100 * _by_minute(traffic)[:, :5]
    seen = ~np.isnan(ratios)
    kept = np.trunc(np.nan_to_num(ratios)) <= percent
    passed = [
        bool(row.all()) and bool(there.any()) for row, there in zip(kept | ~seen, seen, strict=True)
    ]
    return [Outcome(True, 6 * MINUTE) if good else Outcome(False, STEPS) for good in passed]


def flagger(traffic: Traffic, worst: float) -> list[Outcome]:
    """Judge as Flagger does (docs/gitbook/usage/how-it-works.md, pkg/controller/scheduler*.go).

    request-success-rate over one minute, once a minute, at least 99 %. A check that fails, also for
    want of values, holds the advance; with the fifth in all (threshold) the canary is rolled back;
    after ten advances it is promoted.
    """
    ratios = _by_minute(traffic)
    return [_counting(row, worst, allowed=4, needed=10) for row in ratios]


def argo_rollouts(traffic: Traffic, worst: float) -> list[Outcome]:
    """Judge as Argo Rollouts does (docs/features/analysis.md, analysis/analysis.go).

    Success rate at least 0.95 every 60 s, here with a count of 10 for the same window. failureLimit
    is 0 unless given, so the first failed measurement fails the run; NaN meets no condition and is
    one too. Measurements are of one minute.
    """
    ratios = _by_minute(traffic)[:, :10]
    return [_counting(row, worst, allowed=0, needed=10) for row in ratios]


def kayenta(traffic: Traffic, confidence: float) -> list[Outcome]:
    """Judge as Kayenta's NetflixACAJudge does (its Scala source, MannWhitneyClassifier.scala).

    Sixty points of ten seconds (Spinnaker's best practices ask for fifty at least), the
    Mann-Whitney test at a confidence of 0.98; High, and so failed, if the lower confidence limit of
    the Hodges-Lehmann shift is above a quarter of its estimate. NaN are removed; no data is no
    pass. Its removal of outliers is left out, which it makes optional since; stable stands for the
    baseline.
    """
    canary = _ratios(traffic.canary_bad, traffic.canary, 2)[:, : WINDOW // 2]
    stable = _ratios(traffic.stable_bad, traffic.stable, 2)[:, : WINDOW // 2]
    pairs = zip(canary, stable, strict=True)
    return [Outcome(not _is_high(one, other, confidence), WINDOW) for one, other in pairs]


MARGINS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
RULES = (
    Rule("Coalmine", 0.005, MARGINS, ours),
    Rule("Coalmine, whole window", 0.005, MARGINS, ours_patient),
    Rule("prometheus-gate", 1.0, (0, 1, 2, 3, 4, 6, 8, 12, 20, 40), prometheus_gate),
    Rule("Flagger", 0.01, (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1), flagger),
    Rule(
        "Argo Rollouts",
        0.05,
        (0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15),
        argo_rollouts,
    ),
    Rule("Kayenta", 0.98, (0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999), kayenta),
)
"""Ours first, both of them."""


def _ours(traffic: Traffic, row: int, margin: float, *, early: bool) -> Outcome:
    columns = (traffic.canary_bad, traffic.canary, traffic.stable_bad, traffic.stable)
    # The grid's first point is the canary's start, at which nothing was answered.
    steps = [Counts(0, 0, 0, 0)]
    steps += [Counts(*map(float, step)) for step in zip(*(c[row] for c in columns), strict=True)]
    comparison = Comparison(margin, 0.05, 0.05, Undecided.ESTIMATE, early)
    for last in (6, 24, 60, WINDOW, STEPS):
        grid = Grid(since=0.0, step=STEP, first=0, last=last, window=WINDOW)
        outcome = _verdict(compare_counts(CHECK, comparison, steps[: last + 1], grid), last)
        if outcome:
            return outcome
    return Outcome(False, STEPS)


def _verdict(tally: CompareTally, last: int) -> Outcome | None:
    for point in range(1, last + 1):
        if tally.failed_at == point:
            return Outcome(False, point)
        if tally.totals[point].canary < MIN_REQUESTS:
            continue
        if tally.passes_early(point, COVERAGE):
            return Outcome(True, point)
        if point >= WINDOW and tally.passes(point, COVERAGE):
            return Outcome(True, point)
    return None


CHECK = Check(
    name="errors",
    query="",
    minimum=None,
    maximum=None,
    fail_after=FailAfter(),
    no_data=NoData.WAIT,
    over=600.0,
)


def _ratios(bad: NDArray[np.int64], total: NDArray[np.int64], size: int) -> Ratios:
    shape = (len(total), -1, size)
    sums = total.reshape(shape).sum(axis=2)
    errors = bad.reshape(shape).sum(axis=2)
    return np.where(sums > 0, errors / np.maximum(sums, 1), np.nan)


def _by_minute(traffic: Traffic) -> Ratios:
    return _ratios(traffic.canary_bad, traffic.canary, MINUTE)


def _counting(ratios: Ratios, worst: float, *, allowed: int, needed: int) -> Outcome:
    failed = passed = 0
    for minute, ratio in enumerate(ratios, start=1):
        good = ratio <= worst
        failed, passed = failed + (not good), passed + bool(good)
        if failed > allowed:
            return Outcome(False, minute * MINUTE)
        if passed >= needed:
            return Outcome(True, minute * MINUTE)
    return Outcome(False, STEPS)


def _is_high(canary: Ratios, stable: Ratios, confidence: float) -> bool:
    canary, stable = canary[~np.isnan(canary)], stable[~np.isnan(stable)]
    if not len(canary) or not len(stable):
        return True
    if np.array_equal(canary, stable):
        return False
    shifts = np.sort(np.subtract.outer(canary, stable).ravel())
    m, n = len(canary), len(stable)
    spread = math.sqrt(m * n * (m + n + 1) / 12)
    rank = m * n / 2 - NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    lower, estimate = shifts[max(0, math.floor(rank))], np.median(shifts)
    return bool(lower > 0.25 * abs(estimate))
