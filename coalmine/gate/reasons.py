"""The sentence that goes with a decision."""

from __future__ import annotations

from collections.abc import Sequence

from coalmine.gate.baseline_reasons import baseline_text, missing_text, ranked_text
from coalmine.gate.baseline_tally import BaselineTally
from coalmine.gate.compare import CompareTally
from coalmine.gate.compare_reasons import (
    bad_comparison,
    margin_text,
    seen_text,
    unsettled_text,
)
from coalmine.gate.duration import format_duration
from coalmine.gate.evidence import Reading
from coalmine.gate.model import Check, Policy
from coalmine.gate.tally import Tally

__all__ = [
    "AnyTally",
    "bounds_text",
    "inconclusive_reason",
    "out_of_reach_reason",
    "promote_reason",
    "rollback_reason",
    "value_text",
]

AnyTally = Tally | CompareTally | BaselineTally
"""How a check stands: one against bounds, or one against stable."""

UNITS = {"ms": " ms"}
EPSILON = 1e-9


def value_text(value: float | None, unit: str) -> str:
    """Write a value for people: ratios in percent, times in milliseconds."""
    if value is None:
        return "no data"
    if unit == "ratio":
        return f"{value * 100:.3g} %" if abs(value) < 1 else f"{value * 100:.0f} %"
    return f"{value:.4g}{UNITS.get(unit, '')}"


def bounds_text(check: Check) -> str:
    """Say what is good: ``at most 5 %``, ``at least 3``, or both."""
    if check.compare is not None:
        return margin_text(check.compare)
    if check.baseline is not None:
        return baseline_text(check.baseline)
    parts = []
    if check.minimum is not None:
        parts.append(f"at least {value_text(check.minimum, check.unit)}")
    if check.maximum is not None:
        parts.append(f"at most {value_text(check.maximum, check.unit)}")
    return " and ".join(parts)


def rollback_reason(failed: Sequence[AnyTally]) -> str:
    """Say which check failed first, and how."""
    tally = min(failed, key=lambda one: one.failed_at or 0)
    when = format_duration(tally.grid.step * (tally.failed_at or 0))
    others = f" ({len(failed) - 1} more failed as well)" if len(failed) > 1 else ""
    return f"{tally.check.name} {_failure(tally)}, after {when}{others}"


def promote_reason(point: int, requests: float, tallies: Sequence[AnyTally]) -> str:
    """Say what was good at the point of the promotion."""
    grid = tallies[0].grid
    early = point < grid.first + grid.window
    told = ", ".join(_good(tally, point, whole=early) for tally in tallies)
    span = format_duration(grid.step * min(grid.window, point - grid.first))
    head = "every check is established to be good after" if early else "every check passed for"
    return f"{head} {span} and {requests:.0f} requests: {told}"


def inconclusive_reason(
    policy: Policy, requests: float, tallies: Sequence[AnyTally], elapsed: float
) -> str:
    """Say what is still missing."""
    open_window = elapsed < policy.delay + policy.window
    missing = [_open_window(policy)] if open_window else []
    missing += [_missing_requests(policy, requests)]
    missing += [_missing(policy, tally, open_window) for tally in tallies]
    told = [text for text in missing if text]
    spent = format_duration(max(0, int(elapsed)))
    return f"after {spent}: {'; '.join(told) or 'the last samples are awaited'}"


def out_of_reach_reason(policy: Policy, short: Sequence[tuple[str, float]], elapsed: float) -> str:
    """Say which checks can no longer have enough samples, and the part that each can have."""
    told = ", ".join(f"{name} at most {most:.0%}" for name, most in short)
    return (
        f"after {format_duration(max(0, int(elapsed)))}: too many samples are missing to make up "
        f"for by the timeout of {format_duration(policy.timeout)}: {told} of a window's "
        f"({policy.coverage:.0%} needed)"
    )


def _failure(tally: AnyTally) -> str:
    if isinstance(tally, CompareTally):
        seen = seen_text(tally, tally.failed_at or 0, whole=True)
        return f"was {seen} ({margin_text(tally.comparison)} is good)"
    if isinstance(tally, BaselineTally):
        return f"was {_ranked(tally)} ({baseline_text(tally.baseline)} is good)"
    seen_readings = tally.readings[: (tally.failed_at or 0) - tally.grid.first + 1]
    total = sum(reading.fails for reading in seen_readings)
    limit, row = tally.check.fail_after.consecutive, tally.rows[len(seen_readings) - 1]
    count = f"{row} samples in a row" if row == limit else f"{total} samples"
    if count.startswith("1 "):
        count = "one sample"
    return f"{_fault(tally, seen_readings)} in {count}"


def _good(tally: AnyTally, point: int, *, whole: bool) -> str:
    if isinstance(tally, CompareTally):
        return f"{tally.check.name} {seen_text(tally, point, whole=whole)}"
    if isinstance(tally, BaselineTally):
        return f"{tally.check.name} {_ranked(tally)}"
    return f"{tally.check.name} at worst {value_text(tally.worst, tally.check.unit)}"


def _missing(policy: Policy, tally: AnyTally, open_window: bool) -> str:
    if isinstance(tally, CompareTally):
        told = "" if open_window else unsettled_text(tally, policy.coverage - EPSILON)
        return bad_comparison(tally) or told
    if isinstance(tally, BaselineTally):
        return missing_text(tally, policy.coverage - EPSILON, open_window=open_window)
    return _bad_now(tally) or _missing_samples(policy, tally, open_window)


def _ranked(tally: BaselineTally) -> str:
    found = tally.found()
    return ranked_text(found) if found else "not compared"


def _fault(tally: Tally, seen: Sequence[Reading]) -> str:
    """Say what was wrong with the last failing sample and those like it."""
    check = tally.check
    if seen[-1] is Reading.LOST:
        return "had no data"
    return f"was {value_text(tally.worst, check.unit)} at worst ({bounds_text(check)} is good)"


def _missing_requests(policy: Policy, requests: float) -> str:
    if requests >= policy.min_requests:
        return ""
    return f"the canary has answered {requests:.0f} of {policy.min_requests} requests"


def _open_window(policy: Policy) -> str:
    delay = f" and a delay of {format_duration(policy.delay)}" if policy.delay else ""
    return f"the window of {format_duration(policy.window)}{delay} is not over"


def _bad_now(tally: Tally) -> str:
    if not tally.is_bad:
        return ""
    last = value_text(tally.last, tally.check.unit)
    return f"{tally.check.name} is {last} ({bounds_text(tally.check)} is good)"


def _missing_samples(policy: Policy, tally: Tally, open_window: bool) -> str:
    """Say how much of the window is covered; before it is over that says nothing yet."""
    covered = tally.coverage_at(tally.grid.last) if tally.grid.counts else 0.0
    if open_window or covered >= policy.coverage - EPSILON:
        return ""
    return (
        f"{tally.check.name} has {covered:.0%} of the window's samples "
        f"({policy.coverage:.0%} needed)"
    )
