"""Our judge on many canaries at once: the bets with numpy, all else by ``coalmine.gate`` itself.

In pure Python the bets would take an hour. So that these are the same ones, a few canaries of every
cell are judged by ``coalmine.gate`` alone as well, and the evidence has to agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from gate_traffic import BOUNDS, STEP, STEPS, Floats, Traffic
from gate_wealth import Steps, log_wealth
from numpy.typing import NDArray

from coalmine.gate.compare import CompareTally, tally_evidence
from coalmine.gate.comparison import Comparison, SlowerThan, Undecided
from coalmine.gate.evidence import Grid
from coalmine.gate.latency import ALMOST, count_slow
from coalmine.gate.model import Check, FailAfter, NoData, Policy
from coalmine.gate.reach import out_of_reach
from coalmine.gate.sequential import (
    Counts,
    log_evidence_not_worse,
    log_evidence_worse,
)

__all__ = ["Outcomes", "Setting", "coalmine", "counted"]

WINDOW, MIN_REQUESTS, COVERAGE = 120, 100, 0.8
GRID = Grid(since=0.0, step=STEP, first=0, last=STEPS, window=WINDOW)
CHECK = Check("compared", "", None, None, FailAfter(), NoData.WAIT, over=600.0)
POLICY = Policy(
    name="bench",
    window=WINDOW * STEP,
    step=STEP,
    delay=0.0,
    timeout=STEPS * STEP,
    min_requests=MIN_REQUESTS,
    coverage=COVERAGE,
    checks=(CHECK,),
)
COMPARED, TOLERANCE = 2, 1e-6
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Whether each canary was promoted, and at which step there was a verdict.

    A rule that comes to none by the end has not promoted, which counts as a roll-back at the end.
    """

    promoted: NDArray[np.bool_]
    step: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Setting:
    """A ``compare`` check: its margin for errors, and how much slower is good."""

    margin: float
    slower: float

    def comparison(self, traffic: Traffic) -> Comparison:
        slower = SlowerThan(0.95, self.slower) if traffic.is_latency else None
        margin = 0.0 if traffic.is_latency else self.margin
        return Comparison(margin, 0.05, 0.05, Undecided.TEST, slower=slower)


def coalmine(traffic: Traffic, setting: Setting) -> Outcomes:
    """Judge by a ``compare`` check as it runs in the gate, looked at every five seconds."""
    steps, comparison = counted(traffic, setting), setting.comparison(traffic)
    paths = (log_wealth(steps, side) for side in (1, -1))
    found = []
    for row, (counts, *evidence) in enumerate(zip(_rows(steps), *paths, strict=True)):
        worse, not_worse = (tuple(path.tolist()) for path in evidence)
        if row < COMPARED:
            _compare(traffic, row, comparison, counts, (worse, not_worse))
        tally = tally_evidence(
            CHECK,
            comparison,
            counts,
            worse=worse,
            not_worse=not_worse,
            grid=GRID,
            coverage=COVERAGE,
        )
        found.append(_verdict(tally))
    promoted, step = zip(*found, strict=True)
    return Outcomes(np.array(promoted), np.array(step))


def counted(traffic: Traffic, setting: Setting) -> Steps:
    """Count bad or slow answers as the check does; at the grid's first point there are none."""
    canary, stable = traffic.canary, traffic.stable
    if traffic.is_latency:
        counts = _slow(traffic, setting.slower)
    else:
        allowed = setting.margin * canary.total
        counts = np.stack([canary.bad, canary.total, stable.bad, stable.total, allowed])
    return Steps(*np.pad(counts.astype(float), ((0, 0), (0, 0), (1, 0))))


def _rows(steps: Steps) -> Iterator[list[Counts]]:
    columns = (steps.canary_bad, steps.canary, steps.stable_bad, steps.stable, steps.allowed)
    for row in np.stack(columns, axis=2).tolist():
        yield [Counts(*step) for step in row]


def _verdict(tally: CompareTally) -> tuple[bool, int]:
    """Find the verdict as ``judge`` does for a policy with this check alone."""
    ends = _out_of_reach_at(tally)
    for point in range(1, ends + 1):
        if tally.failed_at == point:
            return False, point
        if tally.totals[point].canary < MIN_REQUESTS:
            continue
        if tally.passes_early(point, COVERAGE):
            return True, point
        if point >= WINDOW and tally.passes(point, COVERAGE):
            return True, point
    return False, ends


def _out_of_reach_at(tally: CompareTally) -> int:
    """Find where the gate ends because too many samples are missing, or else the timeout."""
    missing = STEPS - tally.known[-1]
    if missing <= (1 - COVERAGE) * WINDOW:
        return STEPS
    grids = (replace(GRID, last=point) for point in range(1, STEPS))
    return next((grid.last for grid in grids if out_of_reach(POLICY, grid, (tally,))), STEPS)


def _slow(traffic: Traffic, slower: float) -> Floats:
    """Count as ``coalmine.gate.latency`` does."""
    canary, stable = traffic.canary.buckets, traffic.stable.buckets
    assert canary is not None
    assert stable is not None
    seen, result = np.zeros((traffic.runs, len(BOUNDS))), []
    for step in range(STEPS):
        ours, theirs = canary[:, step].astype(float), stable[:, step].astype(float)
        result.append(_slow_step(ours, theirs, seen, slower))
        seen += theirs
    return np.stack(result, axis=2)


def _slow_step(canary: Floats, stable: Floats, seen: Floats, slower: float) -> Floats:
    bounds = np.array(BOUNDS[:-1])
    rows, total = np.arange(len(seen)), np.maximum(seen[:, -1:], 1e-9)
    held = np.concatenate([np.zeros((len(seen), 1)), seen[:, :-1]], axis=1) / total
    knots = np.concatenate([[0.0], bounds])
    shares = np.stack([_line(one, knots, held) for one in bounds / (1 + slower)], axis=1)
    inside = np.clip(shares, ALMOST, 1 - ALMOST)
    at = np.abs(np.log(inside / (1 - inside)) - math.log(0.05 / 0.95)).argmin(axis=1)
    known = (seen[:, -1] > 0) & (shares[:, -1] <= 0.05 + EPSILON)
    allowed = np.maximum(0.0, shares[rows, at] - (1 - held[rows, at + 1])) * canary[:, -1]
    slow = [canary[:, -1] - canary[rows, at], canary[:, -1]]
    slow += [stable[:, -1] - stable[rows, at], stable[:, -1], allowed]
    return np.stack(slow) * known


def _line(duration: float, knots: Floats, held: Floats) -> Floats:
    """Give the part that took longer, on a straight line between two bounds."""
    at = int(np.searchsorted(knots[1:], duration * (1 - EPSILON)))
    part = min(1.0, (duration - knots[at]) / (knots[at + 1] - knots[at]))
    return np.asarray(1 - held[:, at] - (held[:, at + 1] - held[:, at]) * part)


def _compare(
    traffic: Traffic,
    row: int,
    comparison: Comparison,
    counts: list[Counts],
    evidence: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    """Hold counts and evidence against those of ``coalmine.gate`` alone."""
    if comparison.slower is not None:
        canary, stable = (_buckets(one.buckets, row) for one in (traffic.canary, traffic.stable))
        own = count_slow(canary, stable, comparison.slower)
        for one, other in zip(counts[1:], own, strict=True):
            assert math.isclose(one.canary_bad, other.canary_bad), (one, other)
            assert math.isclose(one.allowed, other.allowed, abs_tol=TOLERANCE), (one, other)
    for path, weigh in zip(evidence, (log_evidence_worse, log_evidence_not_worse), strict=True):
        assert np.allclose(path, weigh(counts), rtol=TOLERANCE, atol=TOLERANCE)


def _buckets(held: np.ndarray | None, row: int) -> list[dict[float, float]]:
    assert held is not None
    return [dict(zip(BOUNDS, step, strict=True)) for step in held[row].tolist()]
