"""From the histograms of both sides to slow answers in each step.

"The canary is at most ``slower`` slower" means: of the canary's answers no larger part takes longer
than ``1 + slower`` times some duration than of stable's answers takes longer than that duration.
Slow is what takes longer than a bound of the buckets: the one beyond which the part of stable's
answers, were each as much slower as is allowed, is nearest to the part beyond the quantile that is
asked for. How large that part is, is read off the straight line between two bounds, as PromQL's
``histogram_quantile`` does; where slow answers are the rarer the slower they are, the line lies
above the curve, so the check is forgiving there, never strict. Its excess over what is slow on
stable itself is what the margin allows. Bound and margin come from earlier steps alone: so the
sequential test of ratios may be used. With ``slower: 0`` nothing is read off a line.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from coalmine.gate.comparison import PART, SlowerThan
from coalmine.gate.evidence import Grid, growth
from coalmine.gate.sequential import NOTHING, Counts
from coalmine.metrics.protocol import Series

__all__ = ["Buckets", "count_slow", "slow_by_point"]

Buckets = Mapping[float, float]
"""Answers by the upper bound of their bucket, cumulative; the bound of all is infinite."""
EPSILON = 1e-9
ALMOST = 1e-4
"""A part of the answers that is as good as none; as far from all of them is as good as all."""


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
    return count_slow(canary, stable, slower)


def count_slow(
    canary: Sequence[Buckets], stable: Sequence[Buckets], slower: SlowerThan
) -> tuple[Counts, ...]:
    """Count slow answers in each step, from the buckets that both sides filled in it."""
    seen: dict[float, float] = {}
    result = []
    for ours, theirs in zip(canary, stable, strict=True):
        result.append(_step(ours, theirs, seen, slower))
        for bound, more in theirs.items():
            seen[bound] = seen.get(bound, 0.0) + more
    return tuple(result)


def _step(canary: Buckets, stable: Buckets, seen: Buckets, slower: SlowerThan) -> Counts:
    bound, margin = _slow_bound(seen, slower)
    if not bound or bound not in stable or bound not in canary:
        return NOTHING
    all_canary, all_stable = canary.get(math.inf, 0.0), stable.get(math.inf, 0.0)
    return Counts(
        canary_bad=max(0.0, all_canary - canary[bound]),
        canary=all_canary,
        stable_bad=max(0.0, all_stable - stable[bound]),
        stable=all_stable,
        allowed=all_canary * margin,
    )


def _slow_bound(seen: Buckets, slower: SlowerThan) -> tuple[float, float]:
    """Give the bound beyond which answers are slow, and how many more of them may be.

    The bound is 0 while nothing is known, where none is long enough for the quantile, and where
    every answer may be slow, which says nothing.
    """
    bounds = sorted(bound for bound in seen if math.isfinite(bound) and bound > 0)
    if seen.get(math.inf, 0.0) <= 0 or not bounds:
        return 0.0, 0.0
    beyond, stretch = 1 - slower.quantile, 1 + slower.share
    shares = [_share_beyond(seen, bounds, bound / stretch) for bound in bounds]
    if shares[-1] > beyond + EPSILON:
        return 0.0, 0.0
    # Of two that are as near, the one beyond which are fewer answers.
    share, bound = min(zip(shares, bounds, strict=True), key=lambda at: (_apart(at[0], beyond), at))
    margin = max(0.0, share - _part(seen[math.inf] - seen[bound], seen))
    return (bound, margin) if margin < 1 - ALMOST else (0.0, 0.0)


def _share_beyond(seen: Buckets, bounds: Sequence[float], duration: float) -> float:
    """Give the part of the answers that took longer, on a straight line between two bounds."""
    at = bisect_left(bounds, duration * (1 - EPSILON))
    upper, lower = bounds[at], bounds[at - 1] if at else 0.0
    below = seen[lower] if at else 0.0
    within = below + (seen[upper] - below) * min(1.0, (duration - lower) / (upper - lower))
    return _part(seen[math.inf] - within, seen)


def _part(answers: float, seen: Buckets) -> float:
    """Give the part of all answers; buckets that were read at two moments may not fit together."""
    return min(max(answers / seen[math.inf], 0.0), 1.0)


def _apart(share: float, wanted: float) -> float:
    """Give how far one part is from another, by the logarithm of the odds."""
    return abs(_log_odds(share) - _log_odds(wanted))


def _log_odds(share: float) -> float:
    inside = min(max(share, ALMOST), 1 - ALMOST)
    return math.log(inside / (1 - inside))


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
