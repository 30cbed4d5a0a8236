"""Is the canary's ratio worse than stable's by more than a margin? A test to look at often.

The evidence is wealth. One unit is bet, step by step, against a null hypothesis: "in every step the
canary's ratio was at most the step's margin above stable's", or its mirror image, "at least the
margin above". While the null hypothesis holds no bet can be expected to win, whatever happened
before, so by Ville's inequality wealth ever reaches ``1 / alpha`` with a probability of at most
``alpha``: however often one looks, and whenever one stops. Nothing is approximated, and the ratios
may drift from step to step as long as the null hypothesis holds in each.

What is bet in a step is the likelihood ratio of two guessed ratios to the point of the null
hypothesis that is nearest to them in Kullback-Leibler divergence, weighted by the requests on
either side. That this is fair for any convex null hypothesis and any number of requests is shown in
R. J. Turner and P. D. Grünwald, "Exact anytime-valid confidence intervals for contingency tables
and beyond", Statistics & Probability Letters 198 (2023), and R. J. Turner, A. Ly and P. D.
Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
stopping", Journal of Statistical Planning and Inference 230 (2024). The guesses use only earlier
steps. Wealth is spread over several guesses; half of it is spread anew, a little at every step, so
that a canary that turns bad late is found as well: M. Herbster and M. K. Warmuth, "Tracking the
best expert", Machine Learning 32 (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["NOTHING", "Counts", "log_evidence_not_worse", "log_evidence_worse", "nearest_on_margin"]

WORSE_BY = (0.005, 0.05)
"""How much beyond the margin a bad canary may be: the guesses that are made before it is known."""
FIRST_GUESS, FIRST_WEIGHT = 0.01, 20.0
"""The ratio that is guessed at first, and as many requests as that weighs against what is seen."""
LEAST = 1e-6
"""Guesses keep this far from 0 and 1, so that no answer was impossible."""
UNBET = 0.5
"""The part of the wealth for late faults that is not bet at first, nor when it is spread anew."""
NEWTON_STEPS = 60
PRECISION = 1e-11
"""Relative error of a nearest point that is good enough: its square is what a bet is wrong by."""

Pair = tuple[float, float]
"""A ratio of the canary and one of stable."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What both sides answered in some time.

    Attributes:
        canary_bad: The canary's bad answers.
        canary: All answers of the canary.
        stable_bad: Stable's bad answers.
        stable: All answers of stable.
        allowed: How many bad answers more than at stable's ratio are good on the canary.
    """

    canary_bad: float
    canary: float
    stable_bad: float
    stable: float
    allowed: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.canary_bad + other.canary_bad,
            self.canary + other.canary,
            self.stable_bad + other.stable_bad,
            self.stable + other.stable,
            self.allowed + other.allowed,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.canary_bad - other.canary_bad,
            self.canary - other.canary,
            self.stable_bad - other.stable_bad,
            self.stable - other.stable,
            self.allowed - other.allowed,
        )

    @property
    def difference(self) -> float:
        """The canary's ratio less stable's; NaN where a side answered nothing."""
        if self.canary <= 0 or self.stable <= 0:
            return math.nan
        return self.canary_bad / self.canary - self.stable_bad / self.stable

    @property
    def margin(self) -> float:
        """How much above stable's the canary's ratio may be; 0 where it answered nothing."""
        return self.allowed / self.canary if self.canary > 0 else 0.0

    @property
    def two_sided(self) -> bool:
        """Tell whether both sides answered."""
        return self.canary > 0 and self.stable > 0


NOTHING = Counts(0.0, 0.0, 0.0, 0.0)
"""No answers."""


def log_evidence_worse(steps: Iterable[Counts]) -> tuple[float, ...]:
    """Weigh, after each step, that the canary is worse than stable by more than the margin.

    Args:
        steps: What was answered in each step, in order; each margin is at least 0 and below 1, and
            known before the step.

    Returns:
        Natural logarithms of the wealth; the evidence at level alpha is in once one reaches
        ``log(1 / alpha)``.
    """

    def guesses(canary: float, stable: float, margin: float) -> Sequence[Pair]:
        ratios = [max(canary, stable + margin), *(stable + margin + more for more in WORSE_BY)]
        return [(ratio, stable) for ratio in ratios]

    return _log_wealth(steps, guesses, 1.0)


def log_evidence_not_worse(steps: Iterable[Counts]) -> tuple[float, ...]:
    """Weigh, after each step, that the canary is worse than stable by less than the margin.

    Arguments and result are those of ``log_evidence_worse``.
    """

    def guesses(canary: float, stable: float, margin: float) -> Sequence[Pair]:
        pooled = min(canary, stable)
        return [(pooled, stable), (stable, stable), (stable + margin / 2, stable)]

    return _log_wealth(steps, guesses, -1.0)


def nearest_on_margin(guess: Pair, requests: Pair, margin: float) -> Pair:
    """Find the two ratios, ``margin`` apart, that are nearest to a guess.

    Nearest is least in Kullback-Leibler divergence, summed over all requests. The optimum is the
    root of a cubic between the guess' own two ratios; C. P. Farrington and G. Manning, "Test
    statistics and sample size formulae for comparative binomial trials with null hypothesis of
    non-zero risk difference or non-unity relative risk", Statistics in Medicine 9 (1990).

    Args:
        guess: The canary's and stable's ratio; both inside of 0 and 1.
        requests: The canary's and stable's requests; both above 0.
        margin: At least 0, below 1.
    """
    (canary, stable), (m, n) = guess, requests
    low, high = sorted((stable, canary - margin))
    low, high = max(low, 0.0), min(high, 1.0 - margin)
    p = min(max((n * stable + m * (canary - margin)) / (n + m), low), high)
    if margin == 0:
        return p, p
    for _ in range(NEWTON_STEPS):
        r = p + margin
        value = n * (p - stable) * r * (1 - r) + m * (r - canary) * p * (1 - p)
        low, high = (low, p) if value > 0 else (p, high)
        slope = n * (r * (1 - r) + (p - stable) * (1 - 2 * r))
        slope += m * (p * (1 - p) + (r - canary) * (1 - 2 * p))
        after = p - value / slope if slope else low
        if abs(after - p) <= PRECISION * p:
            break
        p = after if low < after < high else (low + high) / 2
    return p + margin, p


def _log_wealth(
    steps: Iterable[Counts],
    guesses: Callable[[float, float, float], Sequence[Pair]],
    side: float,
) -> tuple[float, ...]:
    """Bet half of the wealth on faults that are there from the start, half on late ones.

    A guess that is not on its side of the margin, 1 for above and -1 for below, would be no fair
    bet: nothing is bet on it.
    """
    early, late, seen, result = _Purse(), _Purse(), NOTHING, []
    for number, step in enumerate(steps):
        pairs = [(_inside(c), _inside(s)) for c, s in guesses(*_learned(seen), step.margin)]
        gains = [0.0, *(_log_gain(pair, step, side) for pair in pairs)]
        early = early.bet(gains, unbet=0.0, anew=0.0)
        late = late.bet(gains, unbet=UNBET, anew=1 / (number + 2))
        seen += step
        result.append(_log_mean(early.log, late.log))
    return tuple(result)


@dataclass(frozen=True, slots=True)
class _Purse:
    """Wealth and how it is spread: first the part that is not bet, then one part a guess."""

    log: float = 0.0
    shares: tuple[float, ...] = ()

    def bet(self, gains: Sequence[float], *, unbet: float, anew: float) -> _Purse:
        """Give what becomes of it; before, the part ``anew`` of it is spread as at first."""
        count = len(gains) - 1
        first = (unbet, *[(1 - unbet) / count] * count)
        old = self.shares or first
        shares = [(1 - anew) * own + anew * new for own, new in zip(old, first, strict=True)]
        most = max(gains)
        paid = [share * math.exp(gain - most) for share, gain in zip(shares, gains, strict=True)]
        total = sum(paid)
        if total <= 0:
            return _Purse(-math.inf, first)
        return _Purse(self.log + most + math.log(total), tuple(part / total for part in paid))


def _learned(seen: Counts) -> Pair:
    first = FIRST_GUESS * FIRST_WEIGHT
    stable = (seen.stable_bad + first) / (seen.stable + FIRST_WEIGHT)
    canary = (seen.canary_bad + first) / (seen.canary + FIRST_WEIGHT)
    return canary, stable


def _inside(ratio: float) -> float:
    return min(max(ratio, LEAST), 1 - LEAST)


def _log_gain(guess: Pair, step: Counts, side: float) -> float:
    """Give the logarithm of what a unit becomes that is bet on a guess; 0 is as much as before."""
    if not step.two_sided or side * (guess[0] - guess[1] - step.margin) <= 0:
        return 0.0
    null = nearest_on_margin(guess, (step.canary, step.stable), step.margin)
    canary = _log_ratio(guess[0], null[0], step.canary_bad, step.canary)
    return canary + _log_ratio(guess[1], null[1], step.stable_bad, step.stable)


def _log_ratio(guess: float, null: float, bad: float, total: float) -> float:
    return bad * math.log(guess / null) + (total - bad) * math.log1p((null - guess) / (1 - null))


def _log_mean(one: float, other: float) -> float:
    most = max(one, other)
    return most + math.log((math.exp(one - most) + math.exp(other - most)) / 2)
