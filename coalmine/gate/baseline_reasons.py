"""How a ``baseline`` check is put in words."""

from __future__ import annotations

from coalmine.gate.baseline import Baseline, Direction, Ranked
from coalmine.gate.baseline_tally import BaselineTally

__all__ = ["baseline_text", "missing_text", "ranked_text"]

WORDS = {
    Direction.INCREASE: "not higher than stable",
    Direction.DECREASE: "not lower than stable",
    Direction.EITHER: "neither higher nor lower than stable",
}


def baseline_text(baseline: Baseline) -> str:
    """Say what is good: ``not higher than stable by a Mann-Whitney test at 98 %``."""
    sure = f"{100 * baseline.confidence:g} %"
    return f"{WORDS[baseline.direction]} by a Mann-Whitney test at {sure}"


def ranked_text(ranked: Ranked) -> str:
    """Say how the canary lies: ``+3.1 (+2.8 to +3.5) from stable, 1.6 times its mean``."""
    interval = f"({ranked.lower:+.3g} to {ranked.upper:+.3g})"
    times = f", {ranked.ratio:.3g} times its mean" if ranked.ratio is not None else ""
    return f"{ranked.shift:+.3g} {interval} from stable{times}"


def missing_text(tally: BaselineTally, coverage: float, *, open_window: bool) -> str:
    """Say why the check does not pass; empty where it does or the window is not over."""
    if tally.several:
        sides = " and ".join(tally.several)
        return f"{tally.check.name} has several series of {sides}; aggregate them into one"
    last = tally.grid.last
    if open_window or tally.passes(last, coverage):
        return ""
    covered = tally.coverage_at(last) if tally.grid.counts else 0.0
    return (
        f"{tally.check.name} has values of both sides in {covered:.0%} of the window's samples "
        f"({coverage:.0%} and at least ten needed)"
    )
