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

from dataclasses import dataclass
from enum import StrEnum

from coalmine.gate.evidence import Evidence
from coalmine.gate.model import OnInconclusive, Policy
from coalmine.gate.reach import out_of_reach
from coalmine.gate.reasons import (
    inconclusive_reason,
    out_of_reach_reason,
    promote_reason,
    rollback_reason,
)
from coalmine.gate.tally import CheckResult
from coalmine.gate.weigh import Weighed, weigh

__all__ = ["Decision", "Verdict", "decide", "judge", "unavailable"]


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
    return decide(policy, weigh(policy, evidence, now), now)


def decide(policy: Policy, weighed: Weighed, now: float) -> Decision:
    """Decide by evidence that is weighed already.

    Args:
        policy: How the canary is judged.
        weighed: What the evidence up to now adds up to.
        now: Unix seconds.
    """
    verdict, reason = _verdict(policy, weighed, now)
    results = tuple(tally.result(policy.coverage) for tally in weighed.tallies)
    return Decision(verdict=verdict, reason=reason, requests=weighed.count, checks=results)


def unavailable(policy: Policy, since: float, now: float, cause: str) -> Decision:
    """Decide while the metrics source does not answer: wait for it until the timeout."""
    if now - since < policy.timeout:
        return Decision(Verdict.CONTINUE, f"waiting for the metrics: {cause}", 0.0, ())
    verdict = _when_inconclusive(policy, now - since)
    return Decision(verdict, f"the metrics could not be read: {cause}", 0.0, ())


def _verdict(policy: Policy, weighed: Weighed, now: float) -> tuple[Verdict, str]:
    grid, tallies, count = weighed.grid, weighed.deciding, weighed.count
    failed = [tally for tally in tallies if tally.failed_at is not None]
    if failed:
        return Verdict.ROLLBACK, rollback_reason(failed)
    point = weighed.promotable_at
    if point is not None:
        return Verdict.PROMOTE, promote_reason(point, weighed.requests[point - grid.first], tallies)
    elapsed = now - grid.since
    if elapsed >= policy.timeout:
        reason = inconclusive_reason(policy, count, tallies, elapsed)
        return _when_inconclusive(policy, elapsed), reason
    short = out_of_reach(policy, grid, tallies)
    if short:
        return _when_inconclusive(policy, elapsed), out_of_reach_reason(policy, short, elapsed)
    return Verdict.CONTINUE, inconclusive_reason(policy, count, tallies, elapsed)


def _when_inconclusive(policy: Policy, elapsed: float) -> Verdict:
    if policy.on_inconclusive is OnInconclusive.ROLLBACK:
        return Verdict.ROLLBACK
    if policy.on_inconclusive is OnInconclusive.HOLD and elapsed < policy.longest:
        return Verdict.HOLD
    return Verdict.INCONCLUSIVE
