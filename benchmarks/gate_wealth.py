"""The bets of ``coalmine.gate.sequential`` for many canaries at once, with numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gate_traffic import Floats

from coalmine.gate.sequential import (
    FIRST_GUESS,
    FIRST_WEIGHT,
    LEAST,
    NEWTON_STEPS,
    PRECISION,
    UNBET,
    WORSE_BY,
)

__all__ = ["Steps", "log_wealth"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The fields of ``Counts``: a row a canary, a column a step."""

    canary_bad: Floats
    canary: Floats
    stable_bad: Floats
    stable: Floats
    allowed: Floats

    def at(self, step: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        return (
            self.canary_bad[:, step],
            self.canary[:, step],
            self.stable_bad[:, step],
            self.stable[:, step],
            self.allowed[:, step],
        )


def log_wealth(steps: Steps, side: int) -> Floats:
    """Give the evidence for worse (1) or for not worse (-1) after each step."""
    runs, length = steps.canary.shape
    seen, result = np.zeros((4, runs)), np.empty((runs, length))
    early, late = _Purses(0.0), _Purses(UNBET)
    for number in range(length):
        step = steps.at(number)
        gains = _gains(seen, step, side)
        early.bet(gains, anew=0.0)
        late.bet(gains, anew=1 / (number + 2))
        result[:, number] = np.logaddexp(early.log, late.log) - np.log(2)
        seen += np.stack(step[:4])
    return result


class _Purses:
    """The wealth of each canary and how it is spread."""

    def __init__(self, unbet: float) -> None:
        self.unbet = unbet
        self.log: Floats = np.zeros(1)
        self.shares: Floats | None = None

    def bet(self, gains: Floats, *, anew: float) -> None:
        guesses = gains.shape[1] - 1
        first = np.concatenate([[self.unbet], np.full(guesses, (1 - self.unbet) / guesses)])
        old = first if self.shares is None else self.shares
        most = gains.max(axis=1, keepdims=True)
        paid = ((1 - anew) * old + anew * first) * np.exp(gains - most)
        total = paid.sum(axis=1, keepdims=True)
        self.log = self.log + (most + np.log(total))[:, 0]
        self.shares = paid / total


def _gains(seen: Floats, step: tuple[Floats, ...], side: int) -> Floats:
    canary_bad, canary, stable_bad, stable, allowed = (one[:, None] for one in step)
    margin = np.divide(allowed, canary, out=np.zeros_like(allowed), where=canary > 0)
    ours, theirs = (np.clip(one, LEAST, 1 - LEAST) for one in _guesses(seen, margin[:, 0], side))
    fair = (side * (ours - theirs - margin) > 0) & (canary > 0) & (stable > 0)
    requests = np.maximum(canary, 1), np.maximum(stable, 1)
    null = _nearest(ours, theirs, *requests, margin)
    with np.errstate(all="ignore"):
        gains = _log_ratio(ours, null + margin, canary_bad, canary)
        gains += _log_ratio(theirs, null, stable_bad, stable)
    return np.concatenate([np.zeros_like(canary), np.where(fair, gains, 0.0)], axis=1)


def _guesses(seen: Floats, margin: Floats, side: int) -> tuple[Floats, Floats]:
    first = FIRST_GUESS * FIRST_WEIGHT
    canary = (seen[0] + first) / (seen[1] + FIRST_WEIGHT)
    stable = (seen[2] + first) / (seen[3] + FIRST_WEIGHT)
    if side > 0:
        edge = stable + margin
        ours = [np.maximum(canary, edge), *(edge + more for more in WORSE_BY)]
    else:
        ours = [np.minimum(canary, stable), stable, stable + margin / 2]
    return np.stack(ours, axis=1), np.repeat(stable[:, None], len(ours), axis=1)


def _nearest(ours: Floats, theirs: Floats, m: Floats, n: Floats, margin: Floats) -> Floats:
    """Find stable's part of ``nearest_on_margin``; what is found already is left alone."""
    given = np.broadcast_arrays(ours, theirs, m, n, margin)
    ours, theirs, m, n, margin = (one.ravel() for one in given)
    low = np.maximum(np.minimum(theirs, ours - margin), 0.0)
    high = np.minimum(np.maximum(theirs, ours - margin), 1 - margin)
    found = np.clip((n * theirs + m * (ours - margin)) / (n + m), low, high)
    rest = np.flatnonzero(margin)
    table = np.stack([ours, theirs, m, n, margin, low, high, found])[:, rest]
    for _ in range(NEWTON_STEPS):
        if not len(rest):
            break
        after = _newton(table)
        moved = np.abs(after - table[7]) > PRECISION * table[7]
        rest, table, after = rest[moved], table[:, moved], after[moved]
        low, high = table[5:7]
        table[7] = np.where((low < after) & (after < high), after, (low + high) / 2)
        found[rest] = table[7]
    return found.reshape(given[0].shape)


def _newton(table: Floats) -> Floats:
    """Give where one step leads; the bounds of the root are drawn closer in place."""
    ours, theirs, m, n, margin, _, _, p = table
    r = p + margin
    value = n * (p - theirs) * r * (1 - r) + m * (r - ours) * p * (1 - p)
    table[5], table[6] = np.where(value > 0, table[5], p), np.where(value > 0, p, table[6])
    slope = n * (r * (1 - r) + (p - theirs) * (1 - 2 * r))
    slope += m * (p * (1 - p) + (r - ours) * (1 - 2 * p))
    with np.errstate(all="ignore"):
        return np.asarray(np.where(slope == 0, table[5], p - value / slope))


def _log_ratio(guess: Floats, null: Floats, bad: Floats, total: Floats) -> Floats:
    return bad * np.log(guess / null) + (total - bad) * np.log1p((null - guess) / (1 - null))
