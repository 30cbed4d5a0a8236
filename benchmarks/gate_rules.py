"""The rules that ``gate_quality`` compares, each as its own documentation and source state it.

What they share: the canary's share stays at 10 %, there are ten minutes, and the outcome is a
verdict and a step. What is measured is the part of bad answers, or a percentile of the durations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from gate_ours import Outcomes, Setting, coalmine, counted
from gate_traffic import STEPS, Floats, Traffic
from numpy.typing import NDArray

from coalmine.gate.chance import chance_of_as_many
from coalmine.gate.sequential import Counts

__all__ = ["OURS", "RULES", "Rule"]

MINUTE, WINDOW = 12, 120
"""In steps."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with the one number that it is tuned by, for errors and for latency.

    Attributes:
        name: Whose it is.
        judge: Judges all canaries of some traffic by each of several numbers.
        default: The numbers in its documentation: a part of the answers, and milliseconds.
        choices: Numbers to tune it with, the strictest first; none where it is never tuned.
    """

    name: str
    judge: Callable[[Traffic, Sequence[float]], Iterator[Outcomes]]
    default: tuple[float, float]
    choices: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def default_for(self, traffic: Traffic) -> float:
        return self.default[traffic.is_latency]

    def choices_for(self, traffic: Traffic) -> tuple[float, ...]:
        return self.choices[traffic.is_latency]


def ours(traffic: Traffic, margins: Sequence[float]) -> Iterator[Outcomes]:
    """Judge by a ``compare`` check; for latency the margin is how much slower is good."""
    for margin in margins:
        yield coalmine(traffic, Setting(margin, margin))


def whole_window(traffic: Traffic, levels: Sequence[float]) -> Iterator[Outcomes]:
    """Judge by one exact test of the counts of all ten minutes, as a statistician would.

    The test is that of J. Przyborowski and H. Wilenski, Biometrika 31 (1940).
    """
    steps = counted(traffic, Setting(0.0, 0.0))
    columns = (steps.canary_bad, steps.canary, steps.stable_bad, steps.stable)
    sums = np.stack([column[:, : WINDOW + 1].sum(axis=1) for column in columns], axis=1)
    chances = np.array([chance_of_as_many([Counts(*row)]) for row in sums.tolist()])
    for level in levels:
        yield _at_once(np.asarray(chances > level), WINDOW)


def prometheus_gate(traffic: Traffic, worst: Sequence[float]) -> Iterator[Outcomes]:
    """Judge as iancoffey/prometheus-gate does (gate.go and README.md).

    A value over one minute is asked once a minute (TICK_TIME) for a range of five minutes
    (RANGE_TIME) that is fixed when the gate starts, here after five minutes. It passes once every
    sample that is there, cut to an integer, is at most TARGET_VALUE, an integer; errors are in
    percent. It knows no roll-back: what does not pass waits. TIMEOUT is read and not used.
    """
    values, _ = _values(traffic, MINUTE)
    values = values[:, :5] * (1 if traffic.is_latency else 100)
    seen = ~np.isnan(values)
    for limit in worst:
        target = math.floor(limit * (1 if traffic.is_latency else 100) + 1e-9)
        kept = np.trunc(np.nan_to_num(values)) <= target
        passed = np.asarray((kept | ~seen).all(axis=1) & seen.any(axis=1))
        yield Outcomes(passed, np.where(passed, 6 * MINUTE, STEPS))


def flagger(traffic: Traffic, worst: Sequence[float]) -> Iterator[Outcomes]:
    """Judge as Flagger does (docs/gitbook/usage/how-it-works.md and metrics.md, pkg/controller).

    request-success-rate, at least 99 %, or request-duration, the 99th percentile, at most 500 ms,
    over one minute, once a minute. A check that fails, also for want of values, holds the advance;
    with the fifth in all (threshold) the canary is rolled back; after ten advances it is promoted.
    """
    values, _ = _values(traffic, MINUTE, 0.99)
    for limit in worst:
        yield _counting(values <= limit, allowed=4, needed=10)


def argo_rollouts(traffic: Traffic, worst: Sequence[float]) -> Iterator[Outcomes]:
    """Judge as Argo Rollouts does (docs/features/analysis.md, analysis/analysis.go).

    Success rate at least 0.95 every 60 s, here with a count of 10 for the same window. failureLimit
    is 0 unless given, so the first failed measurement fails the run; NaN meets no condition and is
    one too. Measurements are of one minute. Of latency the page has no example: the 95th percentile
    is held against Flagger's 500 ms.
    """
    values, _ = _values(traffic, MINUTE)
    for limit in worst:
        yield _counting(values[:, :10] <= limit, allowed=0, needed=10)


def kayenta(traffic: Traffic, confidences: Sequence[float]) -> Iterator[Outcomes]:
    """Judge as Kayenta's NetflixACAJudge does (its Scala source, MannWhitneyClassifier.scala).

    Sixty points of ten seconds (Spinnaker's best practices ask for fifty at least), the
    Mann-Whitney test at a confidence of 0.98; High, and so failed, if the lower confidence limit of
    the Hodges-Lehmann shift is above a quarter of its estimate. NaN are removed; no data is no
    pass. Its removal of outliers is left out, which it makes optional since; stable stands for the
    baseline.
    """
    canary, stable = (side[:, : WINDOW // 2] for side in _values(traffic, 2))
    shifts = [_shifts(one, other) for one, other in zip(canary, stable, strict=True)]
    for confidence in confidences:
        high = np.array([_is_high(one, confidence) for one in shifts])
        yield _at_once(~high, WINDOW)


def _values(traffic: Traffic, size: int, quantile: float = 0.95) -> tuple[Floats, Floats]:
    if traffic.is_latency:
        return traffic.canary.quantiles(size, quantile), traffic.stable.quantiles(size, quantile)
    return traffic.canary.ratios(size), traffic.stable.ratios(size)


def _at_once(promoted: NDArray[np.bool_], step: int) -> Outcomes:
    return Outcomes(promoted, np.full(len(promoted), step))


def _counting(good: NDArray[np.bool_], *, allowed: int, needed: int) -> Outcomes:
    """Count minutes: one more failed than allowed rolls back, enough passed ones promote."""
    failed, passed = (np.cumsum(one, axis=1) for one in (~good, good))
    lost, won = (_first(failed > allowed), _first(passed >= needed))
    step = MINUTE * np.minimum(np.minimum(lost, won), STEPS // MINUTE)
    return Outcomes(won < lost, step)


def _first(reached: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the number of the first minute, from 1; a large one where there is none."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, STEPS)


@dataclass(frozen=True, slots=True)
class _Shifts:
    """All differences of a canary's and a stable point, sorted; None where they are the same."""

    sorted: Floats | None
    canary: int
    stable: int


def _shifts(canary: Floats, stable: Floats) -> _Shifts:
    canary, stable = canary[~np.isnan(canary)], stable[~np.isnan(stable)]
    if np.array_equal(canary, stable) and len(canary):
        return _Shifts(None, len(canary), len(stable))
    shifts = np.sort(np.subtract.outer(canary, stable).ravel())
    return _Shifts(shifts, len(canary), len(stable))


def _is_high(shifts: _Shifts, confidence: float) -> bool:
    m, n = shifts.canary, shifts.stable
    if not m or not n:
        return True
    if shifts.sorted is None:
        return False
    spread = math.sqrt(m * n * (m + n + 1) / 12)
    rank = m * n / 2 - NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    lower, estimate = shifts.sorted[max(0, math.floor(rank))], np.median(shifts.sorted)
    return bool(lower > 0.25 * abs(estimate))


def _spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.geomspace(low, high, count).tolist())


PARTS = (0.0, *_spaced(1e-4, 0.9, 500))
MILLISECONDS = _spaced(20, 2000, 800)
PERCENTS = tuple(number / 100 for number in (*range(40), 50, 70, 100))
WHOLE_MILLISECONDS = tuple(sorted({float(round(number)) for number in MILLISECONDS}))
LEVELS = (0.2, 0.15, 0.1, 0.07, *_spaced(0.05, 1e-4, 80))
CONFIDENCES = (0.2, 0.5, 0.7, *(1 - level for level in _spaced(0.2, 1e-6, 60)))

OURS = 2
"""The first rules are ours; they are never tuned."""
RULES = (
    Rule("Coalmine", ours, (0.0, 0.0)),
    Rule("Coalmine, with a margin", ours, (0.005, 0.2)),
    Rule("whole window", whole_window, (0.05, 0.05), (LEVELS, LEVELS)),
    Rule("prometheus-gate", prometheus_gate, (0.01, 500), (PERCENTS, WHOLE_MILLISECONDS)),
    Rule("Flagger", flagger, (0.01, 500), (PARTS, MILLISECONDS)),
    Rule("Argo Rollouts", argo_rollouts, (0.05, 500), (PARTS, MILLISECONDS)),
    Rule("Kayenta", kayenta, (0.98, 0.98), (CONFIDENCES, CONFIDENCES)),
)
