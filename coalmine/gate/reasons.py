"""The sentence that goes with a decision."""

from __future__ import annotations

from collections.abc import Sequence

from coalmine.gate.duration import format_duration
from coalmine.gate.evidence import Reading
from coalmine.gate.model import Check, Policy
from coalmine.gate.tally import Tally

__all__ = ["bounds_text", "inconclusive_reason", "promote_reason", "rollback_reason", "value_text"]

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
    parts = []
    if check.minimum is not None:
        parts.append(f"at least {value_text(check.minimum, check.unit)}")
    if check.maximum is not None:
        parts.append(f"at most {value_text(check.maximum, check.unit)}")
    return " and ".join(parts)


def rollback_reason(failed: Sequence[Tally]) -> str:
    """Say which check failed first, and how."""
    tally = min(failed, key=lambda one: one.failed_at or 0)
    point = (tally.failed_at or 0) - tally.grid.first
    seen = tally.readings[: point + 1]
    total = sum(reading.fails for reading in seen)
    limit = tally.check.fail_after.consecutive
    count = f"{tally.row} samples in a row" if tally.row == limit else f"{total} samples"
    if count.startswith("1 "):
        count = "one sample"
    when = format_duration(tally.grid.step * (tally.failed_at or 0))
    others = f" ({len(failed) - 1} more failed as well)" if len(failed) > 1 else ""
    return f"{tally.check.name} {_fault(tally, seen)} in {count}, after {when}{others}"


def promote_reason(policy: Policy, requests: float, tallies: Sequence[Tally]) -> str:
    """Say what was good."""
    worst = ", ".join(
        f"{tally.check.name} at worst {value_text(tally.worst, tally.check.unit)}"
        for tally in tallies
    )
    window = format_duration(policy.window)
    return f"every check passed for {window} and {requests:.0f} requests: {worst}"


def inconclusive_reason(
    policy: Policy, requests: float, tallies: Sequence[Tally], elapsed: float
) -> str:
    """Say what is still missing."""
    open_window = elapsed < policy.delay + policy.window
    missing = [_open_window(policy)] if open_window else []
    missing += [_missing_requests(policy, requests)]
    missing += [
        _bad_now(tally) or _missing_samples(policy, tally, open_window) for tally in tallies
    ]
    told = [text for text in missing if text]
    spent = format_duration(max(0, int(elapsed)))
    return f"after {spent}: {'; '.join(told) or 'the last samples are awaited'}"


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
    if not tally.readings or tally.latest[-1] is not False:
        return ""
    last = value_text(tally.last, tally.check.unit)
    return f"{tally.check.name} is {last} ({bounds_text(tally.check)} is good)"


def _missing_samples(policy: Policy, tally: Tally, open_window: bool) -> str:
    """Say how much of the window is covered; before it is over that says nothing yet."""
    covered = tally.coverage_at(tally.grid.last) if tally.readings else 0.0
    if open_window or covered >= policy.coverage - EPSILON:
        return ""
    return (
        f"{tally.check.name} has {covered:.0%} of the window's samples "
        f"({policy.coverage:.0%} needed)"
    )
