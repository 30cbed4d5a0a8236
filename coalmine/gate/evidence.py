"""What was measured, laid on the grid of the policy's steps.

The grid begins when the canary got its share and has a point at every step, so however often and
whenever a gate asks, it asks for the same points. A point's reading says what was seen there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from coalmine.gate.model import Check, NoData, Policy
from coalmine.metrics.protocol import Series

__all__ = [
    "EPSILON",
    "Evidence",
    "Grid",
    "Reading",
    "breaks",
    "grid_of",
    "growth",
    "read_check",
    "requests_by_point",
    "steps_until",
    "steps_within",
    "values_by_point",
]

EPSILON = 1e-6
"""Steps by which a time may miss its point."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was measured of a canary.

    Attributes:
        since: When the canary got its share; Unix seconds.
        requests: The counters of the canary's answered requests.
        checks: The series of each check by its name, evaluated at the grid's points.
    """

    since: float
    requests: tuple[Series, ...]
    checks: Mapping[str, tuple[Series, ...]]


@dataclass(frozen=True, slots=True)
class Grid:
    """The points at which a canary is measured.

    Attributes:
        since: Time of point 0; Unix seconds.
        step: Seconds between two points.
        first: The first point that counts, once the delay is over.
        last: The last point up to now; before ``first`` while nothing counts yet.
        window: How many points a window has.
    """

    since: float
    step: float
    first: int
    last: int
    window: int

    @property
    def newest(self) -> int:
        """Give how many points that count are before the last; -1 where none counts yet."""
        return max(self.last - self.first, -1)

    @property
    def counts(self) -> bool:
        """Tell whether there is a point that counts."""
        return self.last >= self.first

    def time_of(self, point: int) -> float:
        """Give the Unix time of a point."""
        return self.since + point * self.step

    def point_of(self, time: float) -> int:
        """Give the point nearest to a time."""
        return round((time - self.since) / self.step)


class Reading(StrEnum):
    """What was seen of one check at one point."""

    KEPT = "kept"
    BROKEN = "broken"
    LOST = "lost"
    """There was no data, which the policy takes for a broken threshold."""
    NONE = "none"

    @property
    def fails(self) -> bool:
        """Tell whether it counts against the canary."""
        return self in {Reading.BROKEN, Reading.LOST}


def steps_until(time: float, step: float) -> int:
    """Give the first point of a grid at which a time is over."""
    return math.ceil(time / step - EPSILON)


def steps_within(time: float, step: float) -> int:
    """Give how many whole steps a time has."""
    return math.floor(time / step + EPSILON)


def grid_of(policy: Policy, since: float, now: float) -> Grid:
    """Lay the grid from the canary's start to now, or to the last moment that counts."""
    length = max(0.0, min(now - since, policy.longest))
    return Grid(
        since=since,
        step=policy.step,
        first=steps_until(policy.delay, policy.step),
        last=steps_within(length, policy.step),
        window=steps_within(policy.window, policy.step),
    )


def values_by_point(series: Iterable[Series], grid: Grid) -> dict[int, list[float]]:
    """Collect the values that all series have at each point that counts."""
    values: dict[int, list[float]] = {}
    for one in series:
        for sample in one.samples:
            point = grid.point_of(sample.time)
            if grid.first <= point <= grid.last:
                values.setdefault(point, []).append(sample.value)
    return values


def breaks(check: Check, value: float) -> bool:
    """Tell whether a value is outside of a check's bounds; NaN is outside of none."""
    below = check.minimum is not None and value < check.minimum
    above = check.maximum is not None and value > check.maximum
    return below or above


def requests_by_point(series: Iterable[Series], grid: Grid) -> tuple[float, ...]:
    """Count the requests since the first point that counts, up to each point after it."""
    grown = [0.0] * max(0, grid.last - grid.first + 1)
    for one in series:
        for point, more in growth(one, grid):
            grown[point - grid.first] += more
    total, totals = 0.0, []
    for more in grown:
        total += more
        totals.append(total)
    return tuple(totals)


def read_check(check: Check, values: Sequence[float]) -> Reading:
    """Read one check at a point, from the values that all its series have there."""
    finite = [value for value in values if math.isfinite(value)]
    if any(breaks(check, value) for value in finite):
        return Reading.BROKEN
    if values and len(finite) == len(values):
        return Reading.KEPT
    return _read_nothing(check, values)


def _read_nothing(check: Check, values: Sequence[float]) -> Reading:
    if check.no_data is NoData.FAIL:
        return Reading.LOST
    if check.no_data is NoData.WAIT:
        return Reading.NONE
    return Reading.BROKEN if any(breaks(check, value) for value in values) else Reading.KEPT


def growth(series: Series, grid: Grid) -> Iterator[tuple[int, float]]:
    """Give how much a counter grew up to each point after ``grid.first``.

    A counter that appears later began at 0. One that falls was reset and began at 0 again.
    """
    before: float | None = None
    for sample in series.samples:
        point, value = grid.point_of(sample.time), sample.value
        if not math.isfinite(value) or point > grid.last:
            continue
        if point > grid.first:
            known = before or 0.0
            yield point, value - known if value >= known else value
        before = value
