"""Judge a past canary as a gate would have, from what Prometheus still knows."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.gate.evidence import Evidence, grid_of, steps_within
from coalmine.gate.judge import Verdict, decide
from coalmine.gate.model import Policy
from coalmine.gate.runner import Tick
from coalmine.gate.weigh import weigh

__all__ = ["replay"]


def replay(policy: Policy, evidence: Evidence, end: float) -> Iterator[Tick]:
    """Judge at every step what was known by then, up to a verdict or the end.

    The evidence is weighed once, so twice the steps are twice the work.

    Args:
        policy: How the canary is judged.
        evidence: All that was measured from the canary's start to the end.
        end: Unix seconds of the last look.
    """
    weighed = weigh(policy, evidence, end)
    for look in range(steps_within(end - evidence.since, policy.step) + 1):
        now = evidence.since + look * policy.step
        point = grid_of(policy, evidence.since, now).last
        decision = decide(policy, weighed.until(point), now)
        yield Tick(now, evidence, decision)
        if decision.verdict is not Verdict.CONTINUE:
            return
