"""One ``compare`` check over the grid: what was answered, what is established by it, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from coalmine.gate.chance import chance_of_as_many
from coalmine.gate.comparison import Comparison, Undecided
from coalmine.gate.counters import counts_by_point, covered_steps
from coalmine.gate.evidence import Grid
from coalmine.gate.model import Check
from coalmine.gate.sequential import (
    NOTHING,
    Counts,
    log_evidence_not_worse,
    log_evidence_worse,
)
from coalmine.gate.tally import CheckResult, CheckState, Compared
from coalmine.metrics.protocol import Series

__all__ = ["CompareTally", "compare_check", "tally_evidence"]

EPSILON = 1e-9
LAST_LOOK = 0.5
"""The part of ``false_rollback`` that is kept for the one test at the window's end."""
EARLIEST = 0.25
"""The part of the window that an early pass takes at least: a fault may need time to show."""


@dataclass(frozen=True, slots=True)
class CompareTally:
    """What a ``compare`` check adds up to.

    What stands for a point is known at that point, so ``until`` gives what an earlier look saw.

    Attributes:
        check: The check.
        comparison: What it compares.
        grid: The points.
        totals: What both sides answered up to each point from ``grid.first`` on.
        known: How many steps are covered, before each point and at the end: both sides answered in
            them, or a tenth of the window before them at most.
        worse: Logarithm of the evidence for worse than the margin, at each point.
        not_worse: Logarithm of the evidence for better than the margin, at each point.
        failed_at: The point at which worse was established; None if it is not.
        settled_at: The point at which not worse was established; None if it is not.
        tested_at: The point at which the first whole window was tested; None if none was.
        chance: The probability of as many bad answers in that window by chance; None where it was
            not asked for, or worse was established before.
    """

    check: Check
    comparison: Comparison
    grid: Grid
    totals: tuple[Counts, ...]
    known: tuple[int, ...]
    worse: tuple[float, ...]
    not_worse: tuple[float, ...]
    failed_at: int | None
    settled_at: int | None
    tested_at: int | None = None
    chance: float | None = None

    def until(self, point: int) -> CompareTally:
        """Give what was known at a point that is not after the grid's last."""
        tested = self.tested_at is not None and self.tested_at <= point
        return replace(
            self,
            grid=replace(self.grid, last=point),
            failed_at=_by(self.failed_at, point),
            settled_at=_by(self.settled_at, point),
            tested_at=_by(self.tested_at, point),
            chance=self.chance if tested else None,
        )

    def coverage_at(self, point: int) -> float:
        """Give the part of the window's steps, up to this point, in which both sides answered."""
        return _coverage(self.known, self.grid, point)

    def step_to(self, point: int) -> Counts:
        """Give what both sides answered in the step up to a point."""
        end = point - self.grid.first
        return self.totals[end] - (self.totals[end - 1] if end else NOTHING)

    def seen_at(self, point: int) -> Counts:
        """Give what both sides answered in the window up to a point."""
        end = point - self.grid.first
        before = end - self.grid.window
        return self.totals[end] - (self.totals[before] if before >= 0 else NOTHING)

    def within_margin(self, point: int) -> bool:
        """Tell whether the difference in the window up to a point is within the margin."""
        seen = self.seen_at(point)
        return seen.difference <= seen.margin + EPSILON

    def settled_by(self, point: int) -> bool:
        """Tell whether not worse was established by a point and nothing speaks against it there."""
        early = self.settled_at is not None and self.settled_at <= point
        return early and self.within_margin(point)

    def passes_early(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point before the window is over."""
        steps = point - self.grid.first
        enough = steps >= EARLIEST * self.grid.window - EPSILON
        covered = self.known[steps + 1] >= coverage * min(steps, self.grid.window) - EPSILON
        covered = covered and self.step_to(point).two_sided
        return self.comparison.early_pass and enough and covered and self.settled_by(point)

    def passes(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point once the window is over."""
        if self.coverage_at(point) < coverage - EPSILON:
            return False
        if self.comparison.undecided is Undecided.TEST:
            return self.tested_at is not None and self.tested_at <= point
        if self.comparison.undecided is Undecided.WAIT:
            return self.settled_by(point)
        return self.within_margin(point)

    def result(self, coverage: float) -> CheckResult:
        """Sum it up at the last point."""
        last = self.grid.last
        seen = self.seen_at(last).difference if self.grid.counts else math.nan
        difference = seen if math.isfinite(seen) else None
        return CheckResult(
            name=self.check.name,
            state=self._state(coverage),
            samples=self.known[self.grid.newest + 1],
            failing=0,
            coverage=self.coverage_at(last) if self.grid.counts else 0.0,
            last=difference,
            worst=difference,
            failed_at=None if self.failed_at is None else self.grid.time_of(self.failed_at),
            compared=self._compared() if self.grid.counts else None,
        )

    def _compared(self) -> Compared:
        newest = self.grid.newest
        seen = self.totals[newest]
        return Compared(
            canary_bad=seen.canary_bad,
            canary=seen.canary,
            stable_bad=seen.stable_bad,
            stable=seen.stable,
            worse=self.worse[newest],
            worse_needed=_level(_sequential_part(self.comparison)),
            not_worse=self.not_worse[newest],
            not_worse_needed=_level(self.comparison.false_promotion),
            settled_at=None if self.settled_at is None else self.grid.time_of(self.settled_at),
            chance=self.chance,
            worse_path=self.worse[: newest + 1],
            not_worse_path=self.not_worse[: newest + 1],
        )

    def _state(self, coverage: float) -> CheckState:
        if self.failed_at is not None:
            return CheckState.FAILED
        last = self.grid.last
        if not self.known[self.grid.newest + 1]:
            return CheckState.WAITING
        if self.passes_early(last, coverage) or self.passes(last, coverage):
            return CheckState.PASSING
        return CheckState.WAITING if self.within_margin(last) else CheckState.FAILING


def compare_check(
    check: Check, comparison: Comparison, series: Iterable[Series], grid: Grid, coverage: float
) -> CompareTally:
    """Weigh a comparison over all points up to now.

    Args:
        check: The check.
        comparison: What it compares.
        series: The counters of both sides.
        grid: The points.
        coverage: The part of a window's steps in which both sides have to have answered.
    """
    steps = counts_by_point(comparison, series, grid)
    return tally_evidence(
        check,
        comparison,
        steps,
        worse=log_evidence_worse(steps),
        not_worse=log_evidence_not_worse(steps),
        grid=grid,
        coverage=coverage,
    )


def tally_evidence(
    check: Check,
    comparison: Comparison,
    steps: Sequence[Counts],
    *,
    worse: tuple[float, ...],
    not_worse: tuple[float, ...],
    grid: Grid,
    coverage: float,
) -> CompareTally:
    """Add up what was answered up to each point, and the evidence for worse and for not worse."""
    known = tuple(accumulate(covered_steps(steps, grid), initial=0))
    failed_at = _reached(worse, _sequential_part(comparison), grid)
    tested_at = chance = None
    if comparison.undecided is Undecided.TEST:
        tested_at = _first_whole_window(known, grid, coverage)
    if tested_at is not None and (failed_at is None or tested_at < failed_at):
        end = tested_at - grid.first + 1
        chance = chance_of_as_many(steps[end - grid.window : end])
        if chance <= LAST_LOOK * comparison.false_rollback:
            failed_at = tested_at
    return CompareTally(
        check=check,
        comparison=comparison,
        grid=grid,
        totals=tuple(accumulate(steps)),
        known=known,
        worse=worse,
        not_worse=not_worse,
        failed_at=failed_at,
        settled_at=_reached(not_worse, comparison.false_promotion, grid),
        tested_at=tested_at,
        chance=chance,
    )


def _sequential_part(comparison: Comparison) -> float:
    """Give the part of ``false_rollback`` that the looks before the window's end may use."""
    later = LAST_LOOK if comparison.undecided is Undecided.TEST else 0.0
    return (1 - later) * comparison.false_rollback


def _first_whole_window(known: Sequence[int], grid: Grid, coverage: float) -> int | None:
    points = range(grid.first + grid.window, grid.last + 1)
    return next((p for p in points if _coverage(known, grid, p) >= coverage - EPSILON), None)


def _coverage(known: Sequence[int], grid: Grid, point: int) -> float:
    end = point - grid.first + 1
    return (known[end] - known[max(0, end - grid.window)]) / grid.window


def _by(at: int | None, point: int) -> int | None:
    return None if at is None or at > point else at


def _level(alpha: float) -> float:
    return math.log(1 / alpha)


def _reached(evidence: Sequence[float], alpha: float, grid: Grid) -> int | None:
    level = _level(alpha)
    return next((grid.first + i for i, log in enumerate(evidence) if log >= level), None)
