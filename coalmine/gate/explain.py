"""What each check of a gate saw, as text for people. It reads a gate's record, new or stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.gate.reasons import value_text

__all__ = ["explain"]


def explain(record: Mapping[str, Any]) -> str:
    """Write down what was asked, what came back and what is made of it.

    Args:
        record: A gate's record, as ``gate_record`` lays it out.
    """
    return "\n".join(_lines(record))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    policy = record["policy"]
    yield f"{record['verdict']}: {record['reason']}"
    yield f"policy {policy['name']}, canary {record.get('canary')} since {record['since']}"
    yield f"{record['requests']:.0f} of {policy['min_requests']} requests"
    yield f"  query  {record['requests_query']}"
    for check in record["checks"]:
        yield ""
        yield from _check_lines(check)
    if record["skipped"]:
        yield ""
        yield f"left out, for there is no stable version: {', '.join(record['skipped'])}"


def _check_lines(check: Mapping[str, Any]) -> Iterator[str]:
    result, unit = check["result"], str(check["unit"])
    advisory = " (advisory)" if check.get("advisory") else ""
    yield f"{check['name']}: {result['state'] if result else 'not measured'}{advisory}"
    yield f"  good   {check['good']}"
    if result and result.get("compared"):
        yield from _compared_lines(result["compared"], result["last"])
    elif result:
        yield from _ranked_lines(result.get("ranked"))
        yield f"  last   {value_text(result['last'], unit)}"
        yield f"  worst  {value_text(result['worst'], unit)}"
    if result:
        failing = f"{result['failing']} failing, " if not result.get("compared") else ""
        yield f"  seen   {result['samples']} samples, {failing}coverage {result['coverage']:.0%}"
    yield f"  series {len(check.get('counters', check['series']))}"
    for line in str(check["query"]).splitlines():
        yield f"  query  {line}"


def _ranked_lines(ranked: Mapping[str, Any] | None) -> Iterator[str]:
    if ranked:
        shift, lower, upper = (f"{ranked[key]:.4g}" for key in ("shift", "lower", "upper"))
        yield f"  shift  {shift}, between {lower} and {upper}"


def _compared_lines(compared: Mapping[str, Any], difference: float | None) -> Iterator[str]:
    for side in ("canary", "stable"):
        bad, total = compared[f"{side}_bad"], compared[side]
        ratio = value_text(bad / total if total else None, "ratio")
        yield f"  {side} {ratio}: {bad:.0f} of {total:.0f}"
    if difference is not None:
        yield f"  apart  {100 * difference:+.3g} percentage points in the window"
    for name, words in (("worse", "worse"), ("not_worse", "not worse")):
        odds, needed = (_odds(compared[key]) for key in (name, f"{name}_needed"))
        yield f"  proof  {words}: {odds} of the {needed} that are needed"
    if compared["chance"] is not None:
        chance = value_text(compared["chance"], "ratio")
        yield f"  chance {chance} for as many bad answers by the window's end"


def _odds(log: float) -> str:
    """Write the evidence as the factor that a fair bet against it would have won by now."""
    return f"{math.exp(log):.3g}" if log < 50 else "more than 1e21"  # noqa: PLR2004
