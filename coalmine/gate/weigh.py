"""All evidence weighed once, for every look at it.

What is known at a point depends on nothing after it. So one pass over the evidence tells what each
look up to its end saw, and a past canary is judged again at every step with the work of one look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coalmine.gate.baseline_tally import tally_baseline
from coalmine.gate.compare import compare_check
from coalmine.gate.evidence import Evidence, Grid, grid_of, requests_by_point, steps_within
from coalmine.gate.model import Check, Policy
from coalmine.gate.reasons import AnyTally
from coalmine.gate.tally import tally_check
from coalmine.metrics.protocol import Series

__all__ = ["Weighed", "weigh"]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the evidence adds up to, up to the grid's last point.

    Attributes:
        grid: The points.
        requests: How many requests the canary has answered, at each point from ``grid.first`` on.
        tallies: How each check stands, in the policy's order.
        promotable_at: The first point at which everything that a promotion needs was so; None if
            there is none.
    """

    grid: Grid
    requests: tuple[float, ...]
    tallies: tuple[AnyTally, ...]
    promotable_at: int | None

    @property
    def deciding(self) -> tuple[AnyTally, ...]:
        """Give the checks that are not advisory."""
        return tuple(tally for tally in self.tallies if not tally.check.advisory)

    @property
    def count(self) -> float:
        """Give how many requests the canary has answered."""
        return self.requests[self.grid.newest] if self.grid.counts else 0.0

    def until(self, point: int) -> Weighed:
        """Give what was known at a point that is not after the grid's last."""
        early = self.promotable_at is not None and self.promotable_at <= point
        return Weighed(
            grid=replace(self.grid, last=point),
            requests=self.requests,
            tallies=tuple(tally.until(point) for tally in self.tallies),
            promotable_at=self.promotable_at if early else None,
        )


def weigh(policy: Policy, evidence: Evidence, now: float) -> Weighed:
    """Add up all the evidence from the canary's start to now.

    Args:
        policy: How it is judged.
        evidence: All that was measured since the canary got its share.
        now: Unix seconds.
    """
    grid = grid_of(policy, evidence.since, now)
    requests = requests_by_point(evidence.requests, grid)
    tallies = tuple(
        _tally(check, evidence.checks.get(check.name, ()), grid, policy.coverage)
        for check in policy.checks
    )
    point = _promotion_point(policy, grid, requests, tallies)
    return Weighed(grid, requests, tallies, point)


def _tally(check: Check, series: tuple[Series, ...], grid: Grid, coverage: float) -> AnyTally:
    if check.baseline is not None:
        return tally_baseline(check, check.baseline, series, grid, coverage)
    if check.compare is not None:
        return compare_check(check, check.compare, series, grid, coverage)
    return tally_check(check, series, grid)


def _promotion_point(
    policy: Policy, grid: Grid, requests: Sequence[float], tallies: Sequence[AnyTally]
) -> int | None:
    """Find the first point at which everything that a promotion needs was so."""
    deciding = [tally for tally in tallies if not tally.check.advisory]
    full = grid.first + grid.window
    last = min(grid.last, steps_within(policy.timeout, policy.step))
    for point in range(grid.first, last + 1):
        if requests[point - grid.first] < policy.min_requests:
            continue
        if all(tally.passes_early(point, policy.coverage) for tally in deciding):
            return point
        if point >= full and all(tally.passes(point, policy.coverage) for tally in deciding):
            return point
    return None
