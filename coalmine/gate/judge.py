"""The judge: a policy and the evidence in, a decision out. No clock, no socket, no memory.

It always looks at all the evidence from the canary's start to now. So a gate that was killed and
runs again decides as if it had never stopped:

* A check fails for good at the first point where it reaches one of its limits, and stays so. Then
  the canary is rolled back, whatever else is so.
* Else the canary is promoted if there was a point at which the window was over, the canary had
  answered enough requests, and each check had enough of the window's samples and the last of them
  was good; or, before that, enough requests and each check established that it is not worse than
  stable, which only ``compare`` checks can do.
* Else, once the timeout is over, or so many samples are missing that no window before it can have
  enough, the evidence is inconclusive. Where the policy says so, the canary is then held for a
  person: it is still rolled back as soon as a check fails for good, but promoted no longer by
  evidence.

Checks that are advisory are weighed like all others, and count for none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from coalmine.gate.baseline_tally import tally_baseline
from coalmine.gate.compare import compare_check
from coalmine.gate.evidence import Evidence, Grid, grid_of, requests_by_point, steps_within
from coalmine.gate.model import Check, OnInconclusive, Policy
from coalmine.gate.reach import out_of_reach
from coalmine.gate.reasons import (
    AnyTally,
    inconclusive_reason,
    out_of_reach_reason,
    promote_reason,
    rollback_reason,
)
from coalmine.gate.tally import CheckResult, tally_check
from coalmine.metrics.protocol import Series

__all__ = ["Decision", "Verdict", "judge", "unavailable"]


class Verdict(StrEnum):
    """What to do with the canary."""

    CONTINUE = "continue"
    """Keep measuring."""
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    INCONCLUSIVE = "inconclusive"
    HOLD = "hold"
    """Keep the canary where it is until a person has decided."""

    @property
    def final(self) -> bool:
        """Tell whether the gate ends with it."""
        return self not in {Verdict.CONTINUE, Verdict.HOLD}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the judge says.

    Attributes:
        verdict: What to do.
        reason: Why, in one sentence.
        requests: How many requests the canary has answered.
        checks: How each check stands, in the policy's order.
    """

    verdict: Verdict
    reason: str
    requests: float
    checks: tuple[CheckResult, ...]


def judge(policy: Policy, evidence: Evidence, now: float) -> Decision:
    """Decide about a canary.

    Args:
        policy: How it is judged.
        evidence: All that was measured since the canary got its share.
        now: Unix seconds.

    Returns:
        The decision; ``CONTINUE`` while more evidence can still change something.
    """
    grid = grid_of(policy, evidence.since, now)
    requests = requests_by_point(evidence.requests, grid)
    tallies = tuple(
        _tally(check, evidence.checks.get(check.name, ()), grid, policy.coverage)
        for check in policy.checks
    )
    deciding = tuple(tally for tally in tallies if not tally.check.advisory)
    verdict, reason = _verdict(policy, grid, requests, deciding, now)
    count = requests[-1] if requests else 0.0
    results = tuple(tally.result(policy.coverage) for tally in tallies)
    return Decision(verdict=verdict, reason=reason, requests=count, checks=results)


def unavailable(policy: Policy, since: float, now: float, cause: str) -> Decision:
    """Decide while the metrics source does not answer: wait for it until the timeout."""
    if now - since < policy.timeout:
        return Decision(Verdict.CONTINUE, f"waiting for the metrics: {cause}", 0.0, ())
    verdict = _when_inconclusive(policy, now - since)
    return Decision(verdict, f"the metrics could not be read: {cause}", 0.0, ())


def _tally(check: Check, series: tuple[Series, ...], grid: Grid, coverage: float) -> AnyTally:
    if check.baseline is not None:
        return tally_baseline(check, check.baseline, series, grid, coverage)
    if check.compare is not None:
        return compare_check(check, check.compare, series, grid, coverage)
    return tally_check(check, series, grid)


def _verdict(
    policy: Policy, grid: Grid, requests: Sequence[float], tallies: Sequence[AnyTally], now: float
) -> tuple[Verdict, str]:
    failed = [tally for tally in tallies if tally.failed_at is not None]
    if failed:
        return Verdict.ROLLBACK, rollback_reason(failed)
    point = _promotion_point(policy, grid, requests, tallies)
    if point is not None:
        return Verdict.PROMOTE, promote_reason(point, requests[point - grid.first], tallies)
    count = requests[-1] if requests else 0.0
    elapsed = now - grid.since
    if elapsed >= policy.timeout:
        reason = inconclusive_reason(policy, count, tallies, elapsed)
        return _when_inconclusive(policy, elapsed), reason
    short = out_of_reach(policy, grid, tallies)
    if short:
        return _when_inconclusive(policy, elapsed), out_of_reach_reason(policy, short, elapsed)
    return Verdict.CONTINUE, inconclusive_reason(policy, count, tallies, elapsed)


def _promotion_point(
    policy: Policy, grid: Grid, requests: Sequence[float], tallies: Sequence[AnyTally]
) -> int | None:
    """Find the first point at which everything that a promotion needs was so."""
    full = grid.first + grid.window
    last = min(grid.last, steps_within(policy.timeout, policy.step))
    for point in range(grid.first + 1, last + 1):
        if requests[point - grid.first] < policy.min_requests:
            continue
        if all(tally.passes_early(point, policy.coverage) for tally in tallies):
            return point
        if point >= full and all(tally.passes(point, policy.coverage) for tally in tallies):
            return point
    return None


def _when_inconclusive(policy: Policy, elapsed: float) -> Verdict:
    if policy.on_inconclusive is OnInconclusive.ROLLBACK:
        return Verdict.ROLLBACK
    if policy.on_inconclusive is OnInconclusive.HOLD and elapsed < policy.longest:
        return Verdict.HOLD
    return Verdict.INCONCLUSIVE
