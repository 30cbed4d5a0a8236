"""One ``baseline`` check over the grid: which windows were compared, and what that came to.

A window is compared when it is over and covered, and then the next one, a whole window later: so
the test is made once for each set of samples, and not again at every look. From the point at which
a side has a second series nothing is compared, for nobody knows which of them is meant.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter

from coalmine.gate.baseline import LEAST_POINTS, SIDES, Baseline, Ranked, rank
from coalmine.gate.comparison import PART
from coalmine.gate.evidence import Grid, values_by_point
from coalmine.gate.model import Check
from coalmine.gate.tally import CheckResult, CheckState, carried
from coalmine.metrics.protocol import Series

__all__ = ["BaselineTally", "side_of", "tally_baseline"]

EPSILON = 1e-9
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class BaselineTally:
    """What a ``baseline`` check adds up to.

    What stands for a point is known at that point, so ``until`` gives what an earlier look saw.

    Attributes:
        check: The check.
        baseline: How it compares.
        grid: The points.
        values: Each side's value at each point from ``grid.first`` on; None where there is none.
        known: How many points of each side have a value, before each point and at the end.
        several_at: The point from which a side has more than one series, by the side.
        lasts: The canary's newest value at each point.
        worsts: Its largest value so far, at each point.
        judged: The points at which a window ended that was compared, and what was found.
    """

    check: Check
    baseline: Baseline
    grid: Grid
    values: Mapping[str, Values]
    known: Mapping[str, Sequence[int]]
    several_at: Mapping[str, int]
    lasts: Values
    worsts: Values
    judged: tuple[tuple[int, Ranked], ...]

    def until(self, point: int) -> BaselineTally:
        """Give what was known at a point that is not after the grid's last."""
        return replace(self, grid=replace(self.grid, last=point))

    @property
    def failed_at(self) -> int | None:
        """Give the point at which the canary was found apart from stable; None if it is not."""
        if not self.judged:
            return None
        point, ranked = self.judged[-1]
        return point if ranked.bad and point <= self.grid.last else None

    @property
    def several(self) -> tuple[str, ...]:
        """Name the sides that have more than one series, of which none can be judged."""
        return tuple(side for side, point in self.several_at.items() if point <= self.grid.last)

    def coverage_at(self, point: int) -> float:
        """Give the part of the window's points that has a value of the side that has fewer."""
        return min(_known_in(self.known[side], self.grid, point) for side in SIDES) / (
            self.grid.window
        )

    def passes_early(self, point: int, coverage: float) -> bool:  # noqa: ARG002 - as for others
        """Tell that a window has to be over before it is compared."""
        return False

    def passes(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point once the window is over."""
        found = self.found_by(point)
        if found is None or found.bad or any(at <= point for at in self.several_at.values()):
            return False
        return self.coverage_at(point) >= coverage - EPSILON

    def found(self) -> Ranked | None:
        """Give what the last comparison came to."""
        return self.found_by(self.grid.last)

    def found_by(self, point: int) -> Ranked | None:
        """Give what the last comparison up to a point came to."""
        count = bisect_right(self.judged, point, key=itemgetter(0))
        return self.judged[count - 1][1] if count else None

    def result(self, coverage: float) -> CheckResult:
        """Sum it up at the last point."""
        last, newest = self.grid.last, self.grid.newest
        return CheckResult(
            name=self.check.name,
            state=self._state(last, coverage),
            samples=min(self.known[side][newest + 1] for side in SIDES),
            failing=0,
            coverage=self.coverage_at(last) if self.grid.counts else 0.0,
            last=self.lasts[newest] if self.grid.counts else None,
            worst=self.worsts[newest] if self.grid.counts else None,
            failed_at=None if self.failed_at is None else self.grid.time_of(self.failed_at),
            ranked=self.found(),
        )

    def _state(self, last: int, coverage: float) -> CheckState:
        if self.failed_at is not None:
            return CheckState.FAILED
        return CheckState.PASSING if self.passes(last, coverage) else CheckState.WAITING


def tally_baseline(
    check: Check, baseline: Baseline, series: Iterable[Series], grid: Grid, coverage: float
) -> BaselineTally:
    """Compare every window that is over and covered up to now."""
    sides: dict[str, list[Series]] = {side: [] for side in SIDES}
    for one in series:
        if one.samples:
            sides.setdefault(side_of(one), []).append(one)
    values = {side: _values(sides[side], grid) for side in SIDES}
    known = {side: _known(values[side]) for side in SIDES}
    several_at = {side: _second(sides[side], grid) for side in SIDES if len(sides[side]) > 1}
    alone = replace(grid, last=min([grid.last, *(at - 1 for at in several_at.values())]))
    judged = tuple(_judged(baseline, values, known, alone, coverage).items())
    lasts = carried(values["canary"])
    return BaselineTally(
        check=check,
        baseline=baseline,
        grid=grid,
        values=values,
        known=known,
        several_at=several_at,
        lasts=lasts,
        worsts=tuple(accumulate(lasts, _larger)),
        judged=judged,
    )


def side_of(series: Series) -> str:
    """Tell which side a series is of."""
    return dict(series.labels).get(PART, "")


def _second(series: Sequence[Series], grid: Grid) -> int:
    """Give the point at which the second of them begins."""
    return sorted(grid.point_of(one.samples[0].time) for one in series)[1]


def _values(series: Sequence[Series], grid: Grid) -> Values:
    at = values_by_point(series, grid)
    points = range(grid.first, grid.last + 1)
    first = [at[point][0] if point in at else math.nan for point in points]
    return [value if math.isfinite(value) else None for value in first]


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _known(values: Values) -> Sequence[int]:
    return tuple(accumulate((value is not None for value in values), initial=0))


def _known_in(known: Sequence[int], grid: Grid, point: int) -> int:
    end = point - grid.first + 1
    return known[end] - known[max(0, end - grid.window)]


def _judged(
    baseline: Baseline,
    values: Mapping[str, Values],
    known: Mapping[str, Sequence[int]],
    grid: Grid,
    coverage: float,
) -> Mapping[int, Ranked]:
    """Compare one window after another, until the canary is found apart from stable."""
    least = max(LEAST_POINTS, grid.window * coverage - EPSILON)
    judged: dict[int, Ranked] = {}
    due = grid.first + grid.window
    for point in range(due, grid.last + 1):
        covered = all(_known_in(known[side], grid, point) >= least for side in SIDES)
        if point < due or not covered:
            continue
        canary, stable = (_window(values[side], grid, point) for side in SIDES)
        judged[point] = rank(canary, stable, baseline)
        due = point + grid.window
        if judged[point].bad:
            break
    return judged


def _window(values: Values, grid: Grid, point: int) -> list[float]:
    end = point - grid.first + 1
    return [value for value in values[end - grid.window : end] if value is not None]
