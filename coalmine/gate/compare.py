"""One ``compare`` check over the grid: what was answered, what is established by it, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from coalmine.gate.comparison import Comparison, Undecided
from coalmine.gate.counters import counts_by_point
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

__all__ = ["CompareTally", "compare_check", "compare_counts"]

EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class CompareTally:
    """What a ``compare`` check adds up to.

    Attributes:
        check: The check.
        comparison: What it compares.
        grid: The points.
        totals: What both sides answered up to each point from ``grid.first`` on.
        known: How many steps both sides answered in, before each point and at the end.
        worse: Logarithm of the evidence for worse than the margin, at each point.
        not_worse: Logarithm of the evidence for better than the margin, at each point.
        failed_at: The point at which worse was established; None if it is not.
        settled_at: The point at which not worse was established; None if it is not.
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

    def coverage_at(self, point: int) -> float:
        """Give the part of the window's steps, up to this point, in which both sides answered."""
        end = point - self.grid.first + 1
        return (self.known[end] - self.known[max(0, end - self.grid.window)]) / self.grid.window

    def seen_at(self, point: int) -> Counts:
        """Give what both sides answered in the window up to a point."""
        end = point - self.grid.first
        before = end - self.grid.window
        return self.totals[end] - (self.totals[before] if before >= 0 else NOTHING)

    def within_margin(self, point: int) -> bool:
        """Tell whether the difference in the window up to a point is within the margin."""
        return self.seen_at(point).difference <= self.comparison.margin

    def settled_by(self, point: int) -> bool:
        """Tell whether not worse was established by a point and nothing speaks against it there."""
        early = self.settled_at is not None and self.settled_at <= point
        return early and self.within_margin(point)

    def passes_early(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point before the window is over."""
        steps = point - self.grid.first
        covered = self.known[steps + 1] >= coverage * min(steps, self.grid.window) - EPSILON
        return self.comparison.early_pass and covered and self.settled_by(point)

    def passes(self, point: int, coverage: float) -> bool:
        """Tell whether a canary could be promoted at a point once the window is over."""
        covered = self.coverage_at(point) >= coverage - EPSILON
        if self.comparison.undecided is Undecided.WAIT:
            return covered and self.settled_by(point)
        return covered and self.within_margin(point)

    def result(self, coverage: float) -> CheckResult:
        """Sum it up at the last point."""
        last = self.grid.last
        seen = self.seen_at(last).difference if self.totals else math.nan
        difference = seen if math.isfinite(seen) else None
        return CheckResult(
            name=self.check.name,
            state=self._state(coverage),
            samples=self.known[-1],
            failing=0,
            coverage=self.coverage_at(last) if self.totals else 0.0,
            last=difference,
            worst=difference,
            failed_at=None if self.failed_at is None else self.grid.time_of(self.failed_at),
            compared=self._compared() if self.totals else None,
        )

    def _compared(self) -> Compared:
        seen = self.totals[-1]
        return Compared(
            canary_bad=seen.canary_bad,
            canary=seen.canary,
            stable_bad=seen.stable_bad,
            stable=seen.stable,
            worse=self.worse[-1],
            worse_needed=_level(self.comparison.false_rollback),
            not_worse=self.not_worse[-1],
            not_worse_needed=_level(self.comparison.false_promotion),
            settled_at=None if self.settled_at is None else self.grid.time_of(self.settled_at),
        )

    def _state(self, coverage: float) -> CheckState:
        if self.failed_at is not None:
            return CheckState.FAILED
        last = self.grid.last
        if not self.totals or not self.known[-1]:
            return CheckState.WAITING
        if not self.within_margin(last):
            return CheckState.FAILING
        good = self.passes_early(last, coverage) or self.passes(last, coverage)
        return CheckState.PASSING if good else CheckState.WAITING


def compare_check(
    check: Check, comparison: Comparison, series: Iterable[Series], grid: Grid
) -> CompareTally:
    """Weigh a comparison over all points up to now."""
    return compare_counts(check, comparison, counts_by_point(comparison, series, grid), grid)


def compare_counts(
    check: Check, comparison: Comparison, steps: Sequence[Counts], grid: Grid
) -> CompareTally:
    """Weigh what was answered in the step up to each point, from ``grid.first`` on."""
    worse = log_evidence_worse(steps, comparison.margin)
    not_worse = log_evidence_not_worse(steps, comparison.margin)
    return CompareTally(
        check=check,
        comparison=comparison,
        grid=grid,
        totals=tuple(accumulate(steps)),
        known=tuple(accumulate((_is_known(step) for step in steps), initial=0)),
        worse=worse,
        not_worse=not_worse,
        failed_at=_reached(worse, comparison.false_rollback, grid),
        settled_at=_reached(not_worse, comparison.false_promotion, grid),
    )


def _is_known(step: Counts) -> bool:
    return step.canary > 0 and step.stable > 0


def _level(alpha: float) -> float:
    return math.log(1 / alpha)


def _reached(evidence: Sequence[float], alpha: float, grid: Grid) -> int | None:
    level = _level(alpha)
    return next((grid.first + i for i, log in enumerate(evidence) if log >= level), None)
