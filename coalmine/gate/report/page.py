"""What stands on the page: the release, the gate's evidence and the metrics, made ready to read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coalmine.gate.reasons import value_text
from coalmine.gate.report.chart import Chart, Mark, Points, Threshold, line_chart, share_chart
from coalmine.gate.report.evidence_chart import evidence_chart
from coalmine.gate.report.metrics import ReportMetrics

__all__ = ["Bar", "CheckRow", "charts_of", "checks_of", "seconds_of", "timeline_of"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One step on the timeline: its place and length in percent of the whole, and its words.

    ``told`` is what its message has below its first line, such as the last lines of a log.
    """

    name: str
    state: str
    left: float
    width: float
    duration: str
    message: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check: what was asked, what is good, what was seen."""

    name: str
    state: str
    good: str
    worst: str
    last: str
    samples: int
    failing: int
    coverage: str
    query: str
    chart: Chart
    advisory: bool = False
    evidence: Chart | None = None


def seconds_of(moment: object) -> float | None:
    """Read an ISO 8601 time as Unix seconds; None where there is none."""
    if not isinstance(moment, str) or not moment:
        return None
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def timeline_of(release: Mapping[str, Any]) -> tuple[Bar, ...]:
    """Lay the steps out between the first start and the last end."""
    steps = [step for step in release.get("steps") or () if isinstance(step, Mapping)]
    times = [seconds_of(step.get(key)) for step in steps for key in ("started_at", "ended_at")]
    known = [time for time in times if time is not None]
    if not known:
        return tuple(_bar(step, 0.0, 1.0) for step in steps)
    return tuple(_bar(step, min(known), max(known)) for step in steps)


def charts_of(
    release: Mapping[str, Any],
    gate: Mapping[str, Any] | None,
    metrics: ReportMetrics,
    versions: Mapping[str, str],
) -> tuple[Chart, ...]:
    """Draw traffic, errors and latency by revision.

    Args:
        release: The release.
        gate: Its evidence, if it came so far.
        metrics: What was measured.
        versions: The bento's version by revision, where it is known.
    """
    roles = _roles(release, gate or {})
    marks = _marks(gate or {})

    def named(series: Mapping[str, Points]) -> dict[tuple[str, str], Points]:
        order = sorted(series, key=lambda revision: (ORDER[roles.get(revision, "other")], revision))
        return {
            (_label(revision, roles, versions), roles.get(revision, "other")): series[revision]
            for revision in order
        }

    return (
        share_chart("Traffic by version", named(metrics.traffic), metrics.span, marks=marks),
        line_chart(
            "Errors by version (5xx)",
            named(metrics.errors),
            metrics.span,
            write=lambda value: value_text(value, "ratio"),
            thresholds=_thresholds(gate, "error_rate"),
            marks=marks,
            most_possible=1.0,
        ),
        line_chart(
            "Latency by version (95th percentile)",
            named(metrics.latency),
            metrics.span,
            write=lambda value: value_text(value, "ms"),
            thresholds=_thresholds(gate, "latency_p95"),
            marks=marks,
        ),
    )


def checks_of(gate: Mapping[str, Any] | None) -> tuple[CheckRow, ...]:
    """Make a row of each check of the evidence."""
    return tuple(_check_row(check, gate) for check in gate.get("checks") or ()) if gate else ()


ORDER = {"stable": 0, "other": 1, "canary": 2}


def _bar(step: Mapping[str, Any], begin: float, end: float) -> Bar:
    started, ended = seconds_of(step.get("started_at")), seconds_of(step.get("ended_at"))
    message, _, told = str(step.get("message") or "").partition("\n")
    left = 0.0 if started is None else (started - begin) / max(end - begin, 1e-9)
    length = 0.0 if started is None or ended is None else max(ended - started, 0.0)
    return Bar(
        name=str(step.get("name", "")),
        state=str(step.get("state", "")),
        left=round(100 * left, 2),
        width=round(100 * length / max(end - begin, 1e-9), 2),
        duration="" if started is None or ended is None else f"{length:.1f} s",
        message=message,
        told=told.rstrip(),
    )


def _roles(release: Mapping[str, Any], gate: Mapping[str, Any]) -> dict[str, str]:
    outputs: dict[str, Any] = {}
    for step in release.get("steps") or ():
        if step.get("name") == "canary":
            outputs = dict(step.get("outputs") or {})
    found = {str(gate.get(role) or outputs.get(role) or ""): role for role in ("stable", "canary")}
    return {revision: role for revision, role in found.items() if revision}


def _label(revision: str, roles: Mapping[str, str], versions: Mapping[str, str]) -> str:
    version = versions.get(revision, "")
    name = f"{version} · {revision}" if version else revision
    return f"{name} ({roles[revision]})" if revision in roles else name


def _marks(gate: Mapping[str, Any]) -> tuple[Mark, ...]:
    moments = {"canary in": gate.get("since"), str(gate.get("verdict")): gate.get("ended")}
    read = ((text, seconds_of(moment)) for text, moment in moments.items())
    return tuple(Mark(time, text) for text, time in read if time is not None)


def _thresholds(gate: Mapping[str, Any] | None, preset: str) -> tuple[Threshold, ...]:
    found = [
        check
        for check in ((gate or {}).get("policy") or {}).get("checks") or ()
        if check.get("preset") == preset
    ]
    return tuple(bound for check in found for bound in _bounds(check))


def _bounds(check: Mapping[str, Any]) -> Sequence[Threshold]:
    unit = str(check.get("unit") or "")
    words = {"maximum": "at most", "minimum": "at least"}
    known = ((words[key], check.get(key)) for key in words)
    return [
        Threshold(float(value), f"{word} {value_text(float(value), unit)}")
        for word, value in known
        if value is not None
    ]


def _check_row(check: Mapping[str, Any], gate: Mapping[str, Any]) -> CheckRow:
    result, unit = check.get("result") or {}, str(check.get("unit") or "")
    own = [c for c in gate["policy"]["checks"] if c["name"] == check["name"]]
    return CheckRow(
        name=str(check["name"]),
        state=str(result.get("state") or "no data"),
        good=str(check.get("good") or ""),
        worst=value_text(result.get("worst"), unit),
        last=value_text(result.get("last"), unit),
        samples=int(result.get("samples") or 0),
        failing=int(result.get("failing") or 0),
        coverage=f"{float(result.get('coverage') or 0):.0%}",
        query=str(check.get("query") or ""),
        advisory=bool(check.get("advisory")),
        evidence=_evidence(check, gate),
        chart=_check_chart(check, gate, [bound for c in own for bound in _bounds(c)], unit),
    )


def _check_chart(
    check: Mapping[str, Any], gate: Mapping[str, Any], bounds: Sequence[Threshold], unit: str
) -> Chart:
    series = {
        (_series_label(one, check["name"]), _role(one)): [(t, float(v)) for t, v in one["samples"]]
        for one in check.get("series") or ()
    }
    begin = seconds_of(gate.get("since")) or 0.0
    end = seconds_of(gate.get("updated")) or begin
    times = [time for points in series.values() for time, value in points if math.isfinite(value)]
    return line_chart(
        str(check["name"]),
        series,
        (begin, max([end, *times])),
        write=lambda value: value_text(value, unit),
        thresholds=bounds,
        most_possible=1.0 if unit == "ratio" else math.inf,
    )


def _evidence(check: Mapping[str, Any], gate: Mapping[str, Any]) -> Chart | None:
    series = check.get("series") or ()
    times = [time for time, _ in series[0]["samples"]] if series else []
    begin = seconds_of(gate.get("since")) or 0.0
    end = seconds_of(gate.get("updated")) or begin
    compared = (check.get("result") or {}).get("compared")
    return evidence_chart(compared, times, (begin, max([end, *times])))


def _role(series: Mapping[str, Any]) -> str:
    side = (series.get("labels") or {}).get("side")
    return "stable" if side == "stable" else "canary"


def _series_label(series: Mapping[str, Any], name: str) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in (series.get("labels") or {}).items())
    return labels or name
