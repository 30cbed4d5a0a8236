"""What a rule's outcomes in one cell are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from gate_ours import Outcomes
from gate_traffic import STEP, Cell, Floats, Traffic

__all__ = ["Score", "margin_of_error", "score"]


@dataclass(frozen=True, slots=True)
class Score:
    """How a rule did in a cell.

    Attributes:
        wrong: The part of the canaries that were rolled back though good, or promoted though bad.
        median: Seconds to the verdict.
        late: The same, 95th percentile.
        lost: Failed or slow requests of each canary before the verdict.
    """

    wrong: float
    median: float
    late: float
    lost: Floats

    def __str__(self) -> str:
        lost = float(self.lost.mean())
        told = f"{lost:.0f}" if lost >= 10 else f"{lost:.1f}"
        return f"{100 * self.wrong:.3g} % · {self.median:.0f}/{self.late:.0f} · {told}"


def score(cell: Cell, traffic: Traffic, outcomes: Outcomes) -> Score:
    """Sum the outcomes up."""
    seconds = STEP * outcomes.step
    lost = np.cumsum(_lost(traffic), axis=1)[np.arange(traffic.runs), outcomes.step - 1]
    return Score(
        wrong=float((outcomes.promoted != cell.is_good).mean()),
        median=float(np.median(seconds)),
        late=float(np.quantile(seconds, 0.95, method="higher")),
        lost=np.asarray(lost, dtype=float),
    )


def _lost(traffic: Traffic) -> Floats:
    """Count what users lost in each step: failed answers; of latency, all answers."""
    if traffic.is_latency:
        return traffic.canary.total.astype(float)
    return traffic.canary.bad.astype(float)


def margin_of_error(one: float, other: float, runs: int) -> float:
    """Give three standard errors of the difference of two parts."""
    spread = sum(p * (1 - p) for p in (one, other)) / runs
    return 3 * max(math.sqrt(spread), 1 / runs)
