"""Judge a past canary as a gate would have, from what Prometheus still knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from coalmine.gate.evidence import Evidence
from coalmine.gate.judge import Verdict, judge
from coalmine.gate.model import Policy
from coalmine.gate.runner import Tick
from coalmine.metrics.protocol import Series

__all__ = ["replay"]

EPSILON = 1e-6


def replay(policy: Policy, evidence: Evidence, end: float) -> Iterator[Tick]:
    """Judge at every step what was known by then, up to a verdict or the end.

    Args:
        policy: How the canary is judged.
        evidence: All that was measured from the canary's start to the end.
        end: Unix seconds of the last look.
    """
    looks = int((end - evidence.since) / policy.step + EPSILON)
    for look in range(looks + 1):
        now = evidence.since + look * policy.step
        known = _known_by(evidence, now + EPSILON)
        decision = judge(policy, known, now)
        yield Tick(now, known, decision)
        if decision.verdict is not Verdict.CONTINUE:
            return


def _known_by(evidence: Evidence, now: float) -> Evidence:
    checks = {name: _cut(series, now) for name, series in evidence.checks.items()}
    return Evidence(evidence.since, _cut(evidence.requests, now), checks)


def _cut(series: tuple[Series, ...], now: float) -> tuple[Series, ...]:
    return tuple(
        replace(one, samples=tuple(sample for sample in one.samples if sample.time <= now))
        for one in series
    )
