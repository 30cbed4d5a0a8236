"""Simulated traffic for ``gate_quality``: what both sides answer, in steps of five seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BOUNDS",
    "ERROR_FAULTS",
    "GOOD_FAULTS",
    "LATENCY_FAULTS",
    "STEP",
    "STEPS",
    "Cell",
    "Counted",
    "Floats",
    "Traffic",
    "simulate",
]

STEP = 5.0
"""Seconds."""
STEPS = 180
"""Fifteen minutes: the window of ten and five more, after which a task would time out."""
STABLE_SHARE = 9.0
"""Stable's requests for each of the canary's: the canary has 10 %."""
WINDOW = 120

ERROR_FAULTS = (
    "none",
    "stable bad too",
    "errors x2",
    "errors x5",
    "errors x20",
    "a tenth of inputs",
    "a fifth fails",
    "slow ramp",
    "traffic stops",
)
"""``stable bad too``: 10 % more of all answers fail, on both sides, from the second to the sixth
minute. ``a tenth of inputs``: half of the answers to a tenth of the inputs fail. ``slow ramp``:
from 0 to 20 % in ten minutes. ``traffic stops``: that of the canary, after two minutes."""
LATENCY_FAULTS = (
    "latency",
    "latency, stable slow too",
    "latency x1.2",
    "latency x1.5",
    "latency x3",
)
"""``latency``: no fault. ``stable slow too``: three times as slow on both sides from the second to
the sixth minute."""
GOOD_FAULTS = frozenset({"none", "stable bad too", "latency", "latency, stable slow too"})
"""What is not the canary's fault: to roll it back would be wrong."""

MEDIAN, SIGMA = 30.0, 0.5
"""Answers take 30 ms in the median and are log-normal: a 95th percentile of 68 ms."""
BOUNDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, math.inf)
"""Upper bounds of Envoy's buckets, in ms."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of traffic: the canary's requests a second, the share of errors, the fault."""

    rate: float
    base: float
    fault: str

    @property
    def says_something(self) -> bool:
        """Tell whether the fault is one: a multiple of nothing is none."""
        return self.base > 0 or not self.fault.startswith("errors")

    @property
    def plain(self) -> Cell:
        """Give the cell without errors where they change nothing: a check of latency counts all."""
        return Cell(self.rate, 0.0, self.fault) if self.is_latency else self

    @property
    def is_latency(self) -> bool:
        return self.fault.startswith("latency")

    @property
    def is_good(self) -> bool:
        return self.fault in GOOD_FAULTS

    @property
    def without_fault(self) -> Cell:
        """Give the same traffic with a good canary."""
        return Cell(self.rate, self.base, "latency" if self.is_latency else "none")

    def __str__(self) -> str:
        base = "" if self.is_latency else f", {self.base:.1%} errors"
        return f"{self.fault}, {self.rate:g}/s{base}"


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of many canaries: one row each, one column a step."""

    bad: Ints
    total: Ints
    buckets: Ints | None = None
    """How many answers took at most each bound, where the cell is one of latency."""

    def ratios(self, size: int) -> Floats:
        """Give the part of bad answers in each ``size`` steps; NaN where there are none."""
        total, bad = _by(self.total, size), _by(self.bad, size)
        return np.where(total > 0, bad / np.maximum(total, 1), np.nan)

    def quantiles(self, size: int, quantile: float) -> Floats:
        """Give a quantile in ms as PromQL's ``histogram_quantile`` does; NaN without answers."""
        assert self.buckets is not None
        held = _by(self.buckets, size).astype(float)
        rank = quantile * held[..., -1:]
        at = np.minimum((held < rank).sum(axis=-1), len(BOUNDS) - 2)[..., None]
        upper = np.take(np.array(BOUNDS), at)
        lower = np.where(at > 0, np.take(np.array(BOUNDS), at - 1), 0.0)
        below = np.where(at > 0, np.take_along_axis(held, np.maximum(at - 1, 0), -1), 0.0)
        inside = np.maximum(np.take_along_axis(held, at, -1) - below, 1e-9)
        value = lower + (upper - lower) * np.minimum((rank - below) / inside, 1.0)
        return np.where(held[..., -1] > 0, value[..., 0], np.nan)


def _by(counts: Ints, size: int) -> Ints:
    shape = (len(counts), STEPS // size, size, *counts.shape[2:])
    return np.asarray(counts.reshape(shape).sum(axis=2))


@dataclass(frozen=True, slots=True)
class Traffic:
    """What both sides answered."""

    canary: Counted
    stable: Counted

    @property
    def is_latency(self) -> bool:
        return self.canary.buckets is not None

    @property
    def runs(self) -> int:
        return len(self.canary.total)


def simulate(cell: Cell, runs: int, seed: int) -> Traffic:
    """Draw Poisson requests, binomial errors and multinomial durations."""
    random = np.random.default_rng([seed, *f"{cell}".encode()])
    flow = np.full(STEPS, cell.rate * STEP)
    canary_flow = flow * (np.arange(STEPS) < 24) if cell.fault == "traffic stops" else flow
    canary = random.poisson(canary_flow, (runs, STEPS))
    stable = random.poisson(flow * STABLE_SHARE, (runs, STEPS))
    if cell.is_latency:
        slower = _slower(cell)
        return Traffic(_timed(random, canary, slower[0]), _timed(random, stable, slower[1]))
    rates = _rates(cell)
    return Traffic(
        Counted(random.binomial(canary, rates[0]), canary),
        Counted(random.binomial(stable, rates[1]), stable),
    )


def _timed(random: np.random.Generator, total: Ints, slower: Floats) -> Counted:
    bounds = np.log(np.array(BOUNDS)[None, :] / (MEDIAN * slower[:, None])) / (SIGMA * math.sqrt(2))
    within = 0.5 * (1 + np.vectorize(math.erf)(bounds))
    drawn = random.multinomial(total, np.diff(within, axis=1, prepend=0.0))
    return Counted(np.zeros_like(total), total, np.cumsum(drawn, axis=2))


def _slower(cell: Cell) -> tuple[Floats, Floats]:
    """Give how much longer answers take in each step, on both sides."""
    time, one = np.arange(STEPS), np.ones(STEPS)
    if cell.fault == "latency, stable slow too":
        both = np.where((time >= 24) & (time < 72), 3.0, 1.0)
        return both, both
    _, _, factor = cell.fault.partition("x")
    return one * float(factor or 1), one


def _rates(cell: Cell) -> tuple[Floats, Floats]:
    """Give the part of bad answers in each step, on both sides."""
    time, base = np.arange(STEPS), np.full(STEPS, cell.base)
    if cell.fault == "stable bad too":
        both = base + 0.1 * ((time >= 24) & (time < 72))
        return both, both
    if cell.fault.startswith("errors"):
        return base * float(cell.fault.partition("x")[2]), base
    more = {
        "a tenth of inputs": np.full(STEPS, 0.05),
        "a fifth fails": np.full(STEPS, 0.2),
        "slow ramp": 0.2 * np.minimum(time / WINDOW, 1.0),
    }
    return base + more.get(cell.fault, np.zeros(STEPS)), base
