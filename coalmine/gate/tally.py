"""One check counted over the grid: its failing samples, its coverage, its worst value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

from coalmine.gate.baseline import Ranked
from coalmine.gate.evidence import Grid, Reading, read_check, values_by_point
from coalmine.gate.model import Check, FailAfter
from coalmine.metrics.protocol import Series

__all__ = ["CheckResult", "CheckState", "Compared", "Tally", "carried", "tally_check"]

EPSILON = 1e-9


class CheckState(StrEnum):
    """How a check stands."""

    PASSING = "passing"
    """Enough samples are there and the last of them was good."""
    FAILING = "failing"
    """The last sample was bad, but it has not failed for good."""
    FAILED = "failed"
    """It has failed for good."""
    WAITING = "waiting"
    """There are not enough samples yet, or no longer."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison knows at the last point.

    Attributes:
        canary_bad: The canary's bad answers since the delay.
        canary: All its answers.
        stable_bad: Stable's bad answers.
        stable: All its answers.
        worse: Natural logarithm of the evidence for worse than the margin.
        worse_needed: At which value of it the canary is rolled back.
        not_worse: Natural logarithm of the evidence for better than the margin.
        not_worse_needed: At which value of it the check passes before the window is over.
        settled_at: Unix seconds of the sample at which not worse was established, or None.
        chance: The probability of as many bad answers in the whole window by chance; None before
            its end, and where it was not asked for.
        worse_path: The evidence for worse at each point from the delay's end on.
        not_worse_path: The same for better.
    """

    canary_bad: float
    canary: float
    stable_bad: float
    stable: float
    worse: float
    worse_needed: float
    not_worse: float
    not_worse_needed: float
    settled_at: float | None
    chance: float | None = None
    worse_path: tuple[float, ...] = ()
    not_worse_path: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check stands, for people and for the evidence.

    Attributes:
        name: The check.
        state: How it stands.
        samples: Points with a reading, in all.
        failing: Failing ones among them.
        coverage: The part of the last window's points that have a reading.
        last: The newest value; None where there is none.
        worst: The value nearest to, or farthest beyond, a bound; None where there is none.
        failed_at: Unix seconds of the sample with which it failed for good, or None.
        compared: What a comparison knows; None for others and while nothing was measured.
        ranked: What a baseline check found last; None for others and before that.
    """

    name: str
    state: CheckState
    samples: int
    failing: int
    coverage: float
    last: float | None
    worst: float | None
    failed_at: float | None
    compared: Compared | None = None
    ranked: Ranked | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """One check's readings and what they add up to.

    What stands for a point is known at that point, so ``until`` gives what an earlier look saw.

    Attributes:
        check: The check.
        grid: The points.
        readings: What was seen at each point from ``grid.first`` on.
        known: How many points had a reading, before each point and at the end.
        failing: How many samples failed, before each point and at the end.
        rows: How many failing samples in a row there are at each point.
        latest: At each point, whether the newest reading so far was good; None before the first.
        lasts: The newest finite value at each point.
        worsts: The finite value so far that is worst for its bounds, at each point.
        failed_at: The point at which it failed for good; None if it has not.
    """

    check: Check
    grid: Grid
    readings: tuple[Reading, ...]
    known: tuple[int, ...]
    failing: tuple[int, ...]
    rows: tuple[int, ...]
    latest: tuple[bool | None, ...]
    lasts: tuple[float | None, ...]
    worsts: tuple[float | None, ...]
    failed_at: int | None

    def until(self, point: int) -> Tally:
        """Give what was known at a point that is not after the grid's last."""
        failed_at = self.failed_at if (self.failed_at or 0) <= point else None
        return replace(self, grid=replace(self.grid, last=point), failed_at=failed_at)

    @property
    def last(self) -> float | None:
        """Give the newest finite value."""
        return self.lasts[self.grid.newest] if self.grid.counts else None

    @property
    def worst(self) -> float | None:
        """Give the finite value that is worst for its bounds."""
        return self.worsts[self.grid.newest] if self.grid.counts else None

    @property
    def is_bad(self) -> bool:
        """Tell whether the newest reading is a failing one."""
        return self.grid.counts and self.latest[self.grid.newest] is False

    def coverage_at(self, point: int) -> float:
        """Give the part of the window's points, up to this one, that have a reading."""
        end = point - self.grid.first + 1
        return (self.known[end] - self.known[max(0, end - self.grid.window)]) / self.grid.window

    def good_at(self, point: int) -> bool:
        """Tell whether the newest reading up to a point was good."""
        return self.latest[point - self.grid.first] is True

    def passes_early(self, point: int, coverage: float) -> bool:  # noqa: ARG002 - as for others
        """Tell that a threshold has to be kept for the whole window."""
        return False

    def passes(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point once the window is over."""
        return self.coverage_at(point) >= coverage - EPSILON and self.good_at(point)

    def result(self, coverage: float) -> CheckResult:
        """Sum it up at the last point."""
        covered = self.coverage_at(self.grid.last) if self.grid.counts else 0.0
        return CheckResult(
            name=self.check.name,
            state=self._state(covered >= coverage - EPSILON),
            samples=self.known[self.grid.newest + 1],
            failing=self.failing[self.grid.newest + 1],
            coverage=covered,
            last=self.last,
            worst=self.worst,
            failed_at=None if self.failed_at is None else self.grid.time_of(self.failed_at),
        )

    def _state(self, covered: bool) -> CheckState:
        if self.failed_at is not None:
            return CheckState.FAILED
        if self.is_bad:
            return CheckState.FAILING
        return CheckState.PASSING if covered else CheckState.WAITING


def tally_check(check: Check, series: Iterable[Series], grid: Grid) -> Tally:
    """Count one check over all points up to now."""
    values = values_by_point(series, grid)
    points = range(grid.first, grid.last + 1)
    readings = tuple(read_check(check, values.get(point, [])) for point in points)
    failing = tuple(accumulate((reading.fails for reading in readings), initial=0))
    rows = _rows(readings)
    finite = _finite(values)
    lasts = carried(_worst(check, finite.get(point, [])) for point in points)
    return Tally(
        check=check,
        grid=grid,
        readings=readings,
        known=tuple(accumulate((r is not Reading.NONE for r in readings), initial=0)),
        failing=failing,
        rows=rows,
        latest=_latest(readings),
        lasts=lasts,
        worsts=_worsts(check, lasts),
        failed_at=_failure(rows, failing, check.fail_after, grid.first),
    )


def _rows(readings: Iterable[Reading]) -> tuple[int, ...]:
    """Count failing samples in a row; a point without a reading neither adds to one nor ends it."""
    row, rows = 0, []
    for reading in readings:
        if reading.fails:
            row += 1
        elif reading is Reading.KEPT:
            row = 0
        rows.append(row)
    return tuple(rows)


def _failure(
    rows: Sequence[int], failing: Sequence[int], limits: FailAfter, first: int
) -> int | None:
    """Find the point of the final failure."""
    reached = zip(rows, failing[1:], strict=True)
    hits = (row == limits.consecutive or total == limits.total for row, total in reached)
    return next((point for point, hit in enumerate(hits, start=first) if hit), None)


def _latest(readings: Iterable[Reading]) -> tuple[bool | None, ...]:
    newest: bool | None = None
    result = []
    for reading in readings:
        newest = newest if reading is Reading.NONE else reading is Reading.KEPT
        result.append(newest)
    return tuple(result)


def _finite(values: Mapping[int, list[float]]) -> dict[int, list[float]]:
    return {point: [v for v in at if math.isfinite(v)] for point, at in values.items()}


def carried(values: Iterable[float | None]) -> tuple[float | None, ...]:
    """Give the newest value that there was at each point; None before the first."""
    return tuple(accumulate(values, lambda before, now: before if now is None else now))


def _worsts(check: Check, values: Iterable[float | None]) -> tuple[float | None, ...]:
    def worse(before: float | None, now: float | None) -> float | None:
        return _worst(check, [value for value in (before, now) if value is not None])

    return tuple(accumulate(values, worse))


def _worst(check: Check, values: list[float]) -> float | None:
    return max(values, key=lambda value: _excess(check, value), default=None)


def _excess(check: Check, value: float) -> float:
    above = -math.inf if check.maximum is None else value - check.maximum
    below = -math.inf if check.minimum is None else check.minimum - value
    return max(above, below)
