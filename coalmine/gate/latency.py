"""From the histograms of both sides to slow answers in each step.

"The canary is at most ``slower`` slower" means: of the canary's answers no larger part takes longer
than ``(1 + slower)`` times some duration than of stable's answers takes longer than that duration.
The duration is that bound of stable's buckets which is nearest above the quantile that is asked
for, by what was answered in earlier steps alone: so the sequential test of ratios stays exact. On
the canary the next bucket bound at or above the longer duration is taken, so coarse buckets make
the check forgiving, never strict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from coalmine.gate.comparison import PART, SlowerThan
from coalmine.gate.evidence import Grid, growth
from coalmine.gate.sequential import NOTHING, Counts
from coalmine.metrics.protocol import Series

__all__ = ["slow_by_point"]

Buckets = Mapping[float, float]
"""Answers by the upper bound of their bucket, cumulative; the bound of all is infinite."""
EPSILON = 1e-9


def slow_by_point(series: Iterable[Series], grid: Grid, slower: SlowerThan) -> tuple[Counts, ...]:
    """Count slow answers in the step up to each point, from ``grid.first`` on.

    Where nothing is known of stable yet, or no finite bucket bound is long enough, the step counts
    for nothing.
    """
    length = max(0, grid.last - grid.first + 1)
    canary: list[dict[float, float]] = [{} for _ in range(length)]
    stable: list[dict[float, float]] = [{} for _ in range(length)]
    for one in series:
        labels = dict(one.labels)
        side = {"canary_bucket": canary, "stable_bucket": stable}.get(labels.get(PART, ""))
        bound = _bound(labels.get("le", ""))
        if side is None or bound is None:
            continue
        for point, more in growth(one, grid):
            at = side[point - grid.first]
            at[bound] = at.get(bound, 0.0) + more
    return _counts(canary, stable, slower)


def _counts(
    canary: Sequence[Buckets], stable: Sequence[Buckets], slower: SlowerThan
) -> tuple[Counts, ...]:
    seen: dict[float, float] = {}
    result = []
    for ours, theirs in zip(canary, stable, strict=True):
        result.append(_step(ours, theirs, seen, slower))
        for bound, more in theirs.items():
            seen[bound] = seen.get(bound, 0.0) + more
    return tuple(result)


def _step(canary: Buckets, stable: Buckets, seen: Buckets, slower: SlowerThan) -> Counts:
    duration = _quantile_bound(seen, slower.quantile)
    longer = _next_bound(canary, duration * (1 + slower.share)) if duration else math.inf
    if not duration or math.isinf(longer) or duration not in stable:
        return NOTHING
    all_canary, all_stable = canary.get(math.inf, 0.0), stable.get(math.inf, 0.0)
    return Counts(
        canary_bad=max(0.0, all_canary - canary[longer]),
        canary=all_canary,
        stable_bad=max(0.0, all_stable - stable[duration]),
        stable=all_stable,
    )


def _quantile_bound(seen: Buckets, quantile: float) -> float:
    """Give the least bound that holds the quantile; 0 where none is finite."""
    total = seen.get(math.inf, 0.0)
    bounds = sorted(bound for bound in seen if math.isfinite(bound) and bound > 0)
    needed = quantile * total * (1 - EPSILON)
    return next((bound for bound in bounds if total > 0 and seen[bound] >= needed), 0.0)


def _next_bound(buckets: Buckets, least: float) -> float:
    return min((bound for bound in buckets if bound >= least * (1 - EPSILON)), default=math.inf)


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
