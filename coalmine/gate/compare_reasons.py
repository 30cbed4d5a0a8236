"""How a comparison is put in words."""

from __future__ import annotations

from coalmine.gate.compare import CompareTally
from coalmine.gate.comparison import Comparison
from coalmine.gate.sequential import NOTHING

__all__ = ["bad_comparison", "margin_text", "seen_text", "unsettled_text"]


def margin_text(comparison: Comparison) -> str:
    """Say what is good: ``at most 0.5 percentage points above stable``."""
    if comparison.slower is not None:
        quantile = f"p{100 * comparison.slower.quantile:g}"
        if not comparison.slower.share:
            return f"{quantile} no slower than stable"
        return f"{quantile} at most {100 * comparison.slower.share:g} % slower than stable"
    if not comparison.margin:
        return "no worse than stable"
    return f"at most {_points(comparison.margin)} percentage points above stable"


def seen_text(tally: CompareTally, point: int, *, whole: bool) -> str:
    """Say what both sides answered up to a point: since the start, or only in the last window."""
    seen = tally.totals[point - tally.grid.first] if whole else tally.seen_at(point)
    canary = _ratio(seen.canary_bad, seen.canary)
    if tally.comparison.slower is not None:
        stable = _ratio(seen.stable_bad, seen.stable)
        return f"slow in {canary} on the canary, where {stable} are on stable"
    return f"{canary} on the canary and {_ratio(seen.stable_bad, seen.stable)} on stable"


def bad_comparison(tally: CompareTally) -> str:
    """Say that the difference is too large now; empty where it is not."""
    last = tally.grid.last
    seen = tally.seen_at(last) if tally.grid.counts else NOTHING
    if tally.chance is not None or not seen.difference > seen.margin:
        return ""
    told = seen_text(tally, last, whole=False)
    return f"{tally.check.name} is {told} ({margin_text(tally.comparison)} is good)"


def unsettled_text(tally: CompareTally, coverage: float) -> str:
    """Say why the check does not pass though its window is over; empty where it passes."""
    covered = tally.coverage_at(tally.grid.last) if tally.grid.counts else 0.0
    if covered < coverage:
        return (
            f"{tally.check.name} has answers of both sides in {covered:.0%} of the window's steps "
            f"({coverage:.0%} needed)"
        )
    if not tally.passes(tally.grid.last, coverage):
        return f"{tally.check.name} is not established to be good: {margin_text(tally.comparison)}"
    return ""


def _points(difference: float) -> str:
    return f"{100 * difference:.3g}"


def _ratio(bad: float, total: float) -> str:
    if total <= 0:
        return "no answers"
    return f"{100 * bad / total:.3g} % of {total:.0f}"
