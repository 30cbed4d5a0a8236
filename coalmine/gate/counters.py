"""From the counters of both sides to what was answered in each step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate

from coalmine.gate.comparison import PART, PARTS, Comparison
from coalmine.gate.evidence import Grid, growth
from coalmine.gate.latency import slow_by_point
from coalmine.gate.sequential import Counts
from coalmine.metrics.protocol import Sample, Series

__all__ = ["counts_by_point", "covered_steps", "ratio_series"]

QUIET = 0.1
"""The part of the window for which a side may be silent: few requests, or rare scrapes."""
EPSILON = 1e-9


def counts_by_point(
    comparison: Comparison, series: Iterable[Series], grid: Grid
) -> tuple[Counts, ...]:
    """Count what was answered in the step up to each point, from ``grid.first`` on."""
    if comparison.slower is not None:
        return slow_by_point(series, grid, comparison.slower)
    return _ratio_by_point(series, grid, comparison.margin)


def _ratio_by_point(series: Iterable[Series], grid: Grid, margin: float) -> tuple[Counts, ...]:
    """Count bad answers and all.

    A step in which one side grew by more bad answers than answers holds counters that do not belong
    together, such as one read before and one after a reset; it counts for nothing.
    """
    length = max(0, grid.last - grid.first + 1)
    grown = {part: [0.0] * length for part in PARTS}
    for one in series:
        part = dict(one.labels).get(PART, "")
        if part in grown:
            for point, more in growth(one, grid):
                grown[part][point - grid.first] += more
    steps = zip(*(grown[part] for part in PARTS), strict=True)
    return tuple(_counts(*step, margin=margin) for step in steps)


def covered_steps(steps: Iterable[Counts], grid: Grid) -> Iterator[bool]:
    """Tell of each step whether neither side has been silent for longer than is allowed."""
    quiet = math.floor(QUIET * grid.window + EPSILON)
    canary = stable = quiet + 1
    for step in steps:
        canary = 0 if step.canary > 0 else canary + 1
        stable = 0 if step.stable > 0 else stable + 1
        yield max(canary, stable) <= quiet


def ratio_series(
    comparison: Comparison, series: Iterable[Series], grid: Grid
) -> tuple[Series, ...]:
    """Give both sides' ratio of all answers up to each point; NaN where there were none."""
    totals = tuple(accumulate(counts_by_point(comparison, series, grid)))
    sides = {
        "canary": [(seen.canary_bad, seen.canary) for seen in totals],
        "stable": [(seen.stable_bad, seen.stable) for seen in totals],
    }
    return tuple(
        Series(
            labels=(("side", side),),
            samples=tuple(
                Sample(grid.time_of(point), bad / total if total else math.nan)
                for point, (bad, total) in enumerate(pairs, start=grid.first)
            ),
        )
        for side, pairs in sides.items()
    )


def _counts(
    canary_bad: float, canary: float, stable_bad: float, stable: float, *, margin: float
) -> Counts:
    if canary_bad > canary:
        canary_bad = canary = 0.0
    if stable_bad > stable:
        stable_bad = stable = 0.0
    return Counts(canary_bad, canary, stable_bad, stable, margin * canary)
