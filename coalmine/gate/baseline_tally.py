"""One ``baseline`` check over the grid: which windows were compared, and what that came to.

A window is compared when it is over and covered, and then the next one, a whole window later: so
the test is made once for each set of samples, and not again at every look.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from coalmine.gate.baseline import LEAST_POINTS, SIDES, Baseline, Ranked, rank
from coalmine.gate.comparison import PART
from coalmine.gate.evidence import Grid, values_by_point
from coalmine.gate.model import Check
from coalmine.gate.tally import CheckResult, CheckState
from coalmine.metrics.protocol import Series

__all__ = ["BaselineTally", "side_of", "tally_baseline"]

EPSILON = 1e-9
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class BaselineTally:
    """What a ``baseline`` check adds up to.

    Attributes:
        check: The check.
        baseline: How it compares.
        grid: The points.
        values: Each side's value at each point from ``grid.first`` on; None where there is none.
        known: How many points of each side have a value, before each point and at the end.
        several: Sides that have more than one series, of which none can be judged.
        judged: What was found, by the point at which its window ended.
        failed_at: The point at which the canary was found apart from stable; None if it is not.
    """

    check: Check
    baseline: Baseline
    grid: Grid
    values: Mapping[str, Values]
    known: Mapping[str, Sequence[int]]
    several: tuple[str, ...]
    judged: Mapping[int, Ranked]
    failed_at: int | None

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
        found = [ranked for at, ranked in self.judged.items() if at <= point]
        covered = self.coverage_at(point) >= coverage - EPSILON
        return bool(found) and covered and not found[-1].bad

    def found(self) -> Ranked | None:
        """Give what the last comparison came to."""
        return next(reversed(list(self.judged.values())), None)

    def result(self, coverage: float) -> CheckResult:
        """Sum it up at the last point."""
        last, found = self.grid.last, self.found()
        values = [value for value in self.values["canary"] if value is not None]
        return CheckResult(
            name=self.check.name,
            state=self._state(last, coverage),
            samples=min(self.known[side][-1] for side in SIDES),
            failing=0,
            coverage=self.coverage_at(last) if last >= self.grid.first else 0.0,
            last=values[-1] if values else None,
            worst=max(values, default=None),
            failed_at=None if self.failed_at is None else self.grid.time_of(self.failed_at),
            ranked=found,
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
        sides.setdefault(side_of(one), []).append(one)
    values = {side: _values(sides[side], grid) for side in SIDES}
    known = {side: _known(values[side]) for side in SIDES}
    several = tuple(side for side in SIDES if len(sides[side]) > 1)
    judged = {} if several else _judged(baseline, values, known, grid, coverage)
    failed = next((point for point, ranked in judged.items() if ranked.bad), None)
    return BaselineTally(check, baseline, grid, values, known, several, judged, failed)


def side_of(series: Series) -> str:
    """Tell which side a series is of."""
    return dict(series.labels).get(PART, "")


def _values(series: Sequence[Series], grid: Grid) -> Values:
    at = values_by_point(series, grid)
    points = range(grid.first, grid.last + 1)
    first = [at[point][0] if point in at else math.nan for point in points]
    return [value if math.isfinite(value) else None for value in first]


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
