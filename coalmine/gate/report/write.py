"""Put a report in its place: read the evidence, ask Prometheus, write the page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coalmine._base.errors import CoalmineError
from coalmine._base.files import write_atomic
from coalmine.gate.record import read_record
from coalmine.gate.report.metrics import ReportMetrics, fetch_metrics
from coalmine.gate.report.page import seconds_of
from coalmine.gate.report.render import render_report
from coalmine.stack.layout import Layout

__all__ = ["write_report"]

MARGIN = 3.0
"""Seconds to show before and after the release."""


def write_report(
    state: Path,
    release: Mapping[str, Any],
    *,
    versions: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> Path:
    """Write the report of a release; without Prometheus it has no charts and says why.

    Args:
        state: The state folder.
        release: The release, as ``coalmine runs -o json`` lists it.
        versions: The bento's version by revision name, where it is known.
        output: The file; ``releases/<id>/report.html`` in the state folder unless told.

    Returns:
        The file.

    Raises:
        OSError: It cannot be written.
    """
    folder = Layout(state).releases / str(release["id"])
    gate = read_record(folder / "gate.json")
    path = output or folder / "report.html"
    names = {**_own_version(release, gate), **(versions or {})}
    write_atomic(path, render_report(release, gate, _metrics(state, release), names))
    return path


def _metrics(state: Path, release: Mapping[str, Any]) -> ReportMetrics:
    from coalmine.metrics.prometheus import PrometheusSource  # noqa: PLC0415 - not every report

    now = time.time()
    begin = seconds_of(release.get("started_at")) or seconds_of(release.get("requested_at")) or now
    end = seconds_of(release.get("ended_at")) or now
    span = (begin - MARGIN, min(end + MARGIN, max(now, end)))
    try:
        with PrometheusSource(Layout(state).read_endpoints().prometheus, timeout=5) as source:
            return fetch_metrics(source, str(release.get("service") or ""), span)
    except CoalmineError as error:
        return ReportMetrics(span=span, missing=error.message)


def _own_version(release: Mapping[str, Any], gate: Mapping[str, Any] | None) -> dict[str, str]:
    canary, version = (gate or {}).get("canary"), release.get("version")
    return {str(canary): str(version)} if canary and version else {}
