"""Simulated traffic for ``gate_quality``: what both sides answer, in steps of five seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAULTS", "GOOD_FAULTS", "STEP", "STEPS", "Cell", "Traffic", "simulate"]

STEP = 5.0
"""Seconds."""
STEPS = 180
"""Fifteen minutes: the window of ten and five more, after which a task would time out."""
STABLE_SHARE = 9.0
"""Stable's requests for each of the canary's: the canary has 10 %."""
WINDOW = 120

FAULTS = ("none", "stable bad too", "x2", "x5", "x20", "tenth", "fifth fails", "ramp", "stops")
"""``tenth``: half of the answers to a tenth of the inputs fail. ``ramp``: from 0 to 20 % in ten
minutes. ``stops``: traffic to the canary ends after two minutes. ``stable bad too``: 10 % more of
all answers fail, on both sides, from the second to the sixth minute."""
GOOD_FAULTS = frozenset({"none", "stable bad too"})
"""What is not the canary's fault: to roll it back would be wrong."""

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of traffic: the canary's requests a second, the share of errors, the fault."""

    rate: float
    base: float
    fault: str

    @property
    def says_something(self) -> bool:
        """Tell whether the fault is one: a multiple of nothing is none."""
        return self.base > 0 or not self.fault.startswith("x")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts of many canaries: one row each, one column a step."""

    canary: Counts
    canary_bad: Counts
    stable: Counts
    stable_bad: Counts

    def part(self, count: int) -> Traffic:
        """Give the first canaries."""
        return Traffic(
            self.canary[:count],
            self.canary_bad[:count],
            self.stable[:count],
            self.stable_bad[:count],
        )


def simulate(cell: Cell, runs: int, seed: int) -> Traffic:
    """Draw Poisson requests and binomial errors."""
    random = np.random.default_rng(
        [seed, int(cell.rate), int(cell.base * 1e4), _number(cell.fault)]
    )
    flow = np.full(STEPS, cell.rate * STEP)
    canary_flow = flow * (np.arange(STEPS) < 24) if cell.fault == "stops" else flow
    canary = random.poisson(canary_flow, (runs, STEPS))
    stable = random.poisson(flow * STABLE_SHARE, (runs, STEPS))
    canary_rates, stable_rates = _rates(cell)
    return Traffic(
        canary,
        random.binomial(canary, canary_rates),
        stable,
        random.binomial(stable, stable_rates),
    )


def _number(fault: str) -> int:
    return FAULTS.index(fault)


def _rates(cell: Cell) -> tuple[Rates, Rates]:
    time, base = np.arange(STEPS), np.full(STEPS, cell.base)
    if cell.fault == "stable bad too":
        both = base + 0.1 * ((time >= 24) & (time < 72))
        return both, both
    if cell.fault.startswith("x"):
        return base * float(cell.fault[1:]), base
    more = {
        "tenth": np.full(STEPS, 0.05),
        "fifth fails": np.full(STEPS, 0.2),
        "ramp": 0.2 * np.minimum(time / WINDOW, 1.0),
    }
    return base + more.get(cell.fault, np.zeros(STEPS)), base
