"""How often a whole ``compare`` check is wrong, by simulation: what its two probabilities promise.

A verdict is taken at whichever look gives one first, so this is under optional stopping. Each case
draws 300 canaries from a fixed seed. At a probability of 5 % more than 24 of 300 are wrong in fewer
than 1 % of such draws: that is the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.gate.compare import CompareTally, tally_evidence
from coalmine.gate.comparison import Comparison, Undecided
from coalmine.gate.evidence import Grid
from coalmine.gate.sequential import (
    NOTHING,
    Counts,
    log_evidence_not_worse,
    log_evidence_worse,
)

RUNS, MOST, LOOKS = 300, 24, 16
TIME = np.arange(LOOKS)
ONE = np.ones(LOOKS)
Floats = NDArray[np.float64]
COMPARISON = Comparison(0.0, 0.05, 0.05, Undecided.TEST)
GRID = Grid(since=0.0, step=5.0, first=0, last=LOOKS, window=LOOKS)
WAVE = 0.002 + 0.2 * ((TIME >= 5) & (TIME < 9))
"""A bad time of the whole service."""
LATE = np.where(TIME < 4, 0.02, 0.5)
"""The canary's share of the traffic, which grows."""


def canaries(
    ratio: Floats, margin: float, share: Floats, excess: float, rate: int = 300
) -> Iterator[list[Counts]]:
    """Both sides fail at ``ratio``, the canary by ``margin`` and ``excess`` more."""
    draw = np.random.default_rng(11)
    canary = draw.poisson(rate * share, (RUNS, LOOKS))
    stable = draw.poisson(rate * (1 - share), (RUNS, LOOKS))
    canary_bad = draw.binomial(canary, np.minimum(ratio + margin + excess, 1))
    stable_bad = draw.binomial(stable, ratio)
    columns = (canary_bad, canary, stable_bad, stable, margin * canary)
    for row in np.stack(columns, axis=2).tolist():
        yield [NOTHING, *(Counts(*step) for step in row)]


def tally(make: Any, steps: list[Counts], comparison: Comparison) -> CompareTally:
    nothing = (0.0,) * len(steps)
    return tally_evidence(
        make.check(compare=comparison),
        comparison,
        steps,
        worse=nothing if comparison.early_pass else log_evidence_worse(steps),
        not_worse=log_evidence_not_worse(steps) if comparison.early_pass else nothing,
        grid=GRID,
        coverage=0.8,
    )


def rolled_back(make: Any, *args: Any, undecided: Undecided = Undecided.TEST) -> int:
    comparison = replace(COMPARISON, early_pass=False, undecided=undecided)
    found = (tally(make, steps, comparison).failed_at for steps in canaries(*args))
    return sum(point is not None for point in found)


def passed_early(make: Any, *args: Any) -> int:
    found = (tally(make, steps, COMPARISON).settled_at for steps in canaries(*args))
    return sum(point is not None for point in found)


CASES = {
    "rare": (0.003 * ONE, 0.0, 0.1 * ONE),
    "common": (0.2 * ONE, 0.0, 0.1 * ONE),
    "at the margin": (0.01 * ONE, 0.01, 0.1 * ONE),
    "a bad time of both": (WAVE, 0.0, 0.1 * ONE),
    "while the share grows": (WAVE[::-1], 0.0, LATE),
}


@pytest.mark.parametrize("name", CASES)
def test_a_good_canary_is_rarely_rolled_back(make: Any, name: str) -> None:
    assert rolled_back(make, *CASES[name], 0.0) <= MOST


@pytest.mark.parametrize("excess", [0.0, 0.02])
def test_a_bad_canary_is_rarely_established_to_be_good(make: Any, excess: float) -> None:
    case = (0.02 * ONE, 0.02, 0.3 * ONE, excess)
    assert passed_early(make, *case) <= MOST


def test_the_last_look_finds_what_the_earlier_ones_miss(make: Any) -> None:
    case = (0.01 * ONE, 0.0, 0.1 * ONE, 0.012)
    earlier, all_ = (
        rolled_back(make, *case, undecided=undecided)
        for undecided in (Undecided.WAIT, Undecided.TEST)
    )
    assert all_ > earlier + RUNS // 10
