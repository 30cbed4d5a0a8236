"""The evidence file of a gate: everything behind a verdict, as JSON.

Values that JSON cannot write stand as the strings ``NaN``, ``+Inf`` and ``-Inf``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coalmine._base.files import write_atomic
from coalmine.gate.baseline_tally import side_of
from coalmine.gate.counters import ratio_series
from coalmine.gate.evidence import Grid, grid_of
from coalmine.gate.model import Check
from coalmine.gate.plan import Plan
from coalmine.gate.reasons import bounds_text
from coalmine.gate.runner import Tick
from coalmine.metrics.protocol import Series

__all__ = ["gate_record", "read_record", "write_record"]


def gate_record(
    plan: Plan, tick: Tick, since: datetime, facts: Mapping[str, str]
) -> dict[str, Any]:
    """Lay a gate's state out as plain JSON values.

    Args:
        plan: The policy and its queries.
        tick: The newest turn.
        since: When the canary got its share.
        facts: ``release_id``, ``service``, ``canary``, ``stable``.
    """
    decision, ended = tick.decision, tick.decision.verdict.final
    since_time = since.timestamp()
    grid = grid_of(plan.policy, since_time, tick.now)
    checks = tick.evidence.checks if tick.evidence else {}
    return {
        **facts,
        "since": _time_text(since_time),
        "updated": _time_text(tick.now),
        "ended": _time_text(tick.now) if ended else None,
        "verdict": str(decision.verdict),
        "reason": decision.reason,
        "requests": decision.requests,
        "policy": asdict(plan.policy),
        "requests_query": plan.requests,
        "skipped": list(plan.skipped),
        "checks": [
            {
                "name": check.name,
                "preset": check.preset,
                "unit": check.unit,
                "good": bounds_text(check),
                "advisory": check.advisory,
                "query": plan.queries[check.name],
                "result": _result(decision.checks, check.name),
                **_measured(check, checks.get(check.name, ()), grid),
            }
            for check in plan.policy.checks
        ],
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write an evidence file; a reader sees the one before or this one, never a part.

    Raises:
        OSError: The place cannot be written.
    """
    write_atomic(path, json.dumps(record, allow_nan=False) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read an evidence file; None where there is none, or none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _result(results: Any, name: str) -> dict[str, Any] | None:  # noqa: ANN401 - a tuple of results
    found = next((result for result in results if result.name == name), None)
    return None if found is None else asdict(found)


def _measured(check: Check, series: Sequence[Series], grid: Grid) -> dict[str, Any]:
    """Give the samples; of a comparison also the ratios that they add up to."""
    samples = [_series(one, grid) for one in series]
    if check.baseline is not None:
        sided = [replace(one, labels=(("side", side_of(one)),)) for one in series]
        return {"series": [_series(one, grid) for one in sided]}
    if check.compare is None:
        return {"series": samples}
    return {
        "series": [_series(one, grid) for one in ratio_series(check.compare, series, grid)],
        "counters": samples,
    }


def _series(series: Series, grid: Grid) -> dict[str, Any]:
    known = (one for one in series.samples if grid.point_of(one.time) <= grid.last)
    samples = [[sample.time, _number(sample.value)] for sample in known]
    return {"labels": dict(series.labels), "samples": samples}


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return value


def _time_text(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
