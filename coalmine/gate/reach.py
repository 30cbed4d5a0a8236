"""Can a gate still promote? Not once too many samples are missing to make up for by its timeout.

If every sample from now on were there, a check could at best have the coverage of the last window
before the timeout: a window that ends earlier holds more of what is missing already. The newest
point counts as there, for its sample may be on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

from coalmine.gate.baseline_tally import BaselineTally
from coalmine.gate.compare import CompareTally
from coalmine.gate.evidence import EPSILON, Grid, steps_within
from coalmine.gate.model import Policy
from coalmine.gate.reasons import AnyTally

__all__ = ["out_of_reach"]


def out_of_reach(
    policy: Policy, grid: Grid, tallies: Sequence[AnyTally]
) -> tuple[tuple[str, float], ...]:
    """Name the checks that keep a gate from promoting, whatever comes until its timeout.

    Args:
        policy: How the canary is judged.
        grid: The points up to now.
        tallies: The checks that decide.

    Returns:
        Checks whose coverage is out of reach, with the most that each can have; none while the gate
        may still promote.
    """
    if grid.last < grid.first:
        return ()
    last = steps_within(policy.timeout, policy.step)
    best = ((tally.check.name, _best(tally, grid, last)) for tally in tallies)
    short = tuple((name, most) for name, most in best if most < policy.coverage - EPSILON)
    early = all(_may_pass_early(tally, grid, last, policy.coverage) for tally in tallies)
    return () if early else short


def _best(tally: AnyTally, grid: Grid, last: int) -> float:
    begin = max(0, last - grid.window + 1 - grid.first)
    missing = max(_missing(known, begin, grid) for known in _known(tally))
    return 1 - missing / grid.window


def _may_pass_early(tally: AnyTally, grid: Grid, last: int, coverage: float) -> bool:
    """Tell whether a comparison could pass by what it has seen in all, see ``passes_early``."""
    if not isinstance(tally, CompareTally) or not tally.comparison.early_pass:
        return False
    steps = last - grid.first
    missing = _missing(tally.known, 1, grid)
    return steps - missing >= coverage * min(steps, grid.window) - EPSILON


def _known(tally: AnyTally) -> tuple[Sequence[int], ...]:
    if isinstance(tally, BaselineTally):
        return tuple(tally.known.values())
    return (tally.known,)


def _missing(known: Sequence[int], begin: int, grid: Grid) -> int:
    """Count the points without a reading from an index on, but for the newest point."""
    newest = grid.last - grid.first
    return newest - begin - (known[newest] - known[begin]) if newest > begin else 0
