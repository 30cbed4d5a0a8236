"""The evidence of a comparison over time, as parts of what is needed to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.gate.report.chart import Chart, Threshold, line_chart

__all__ = ["evidence_chart"]

FAR = 2.0
"""Evidence of more than this many times what is needed is drawn as this."""
LINES = {"worse": ("worse than the margin", "canary"), "not_worse": ("not worse", "stable")}


def evidence_chart(
    compared: Mapping[str, Any] | None, times: Sequence[float], span: tuple[float, float]
) -> Chart | None:
    """Draw how the evidence grew to either side; None for checks that have none.

    Args:
        compared: What the comparison knows, as the evidence file has it.
        times: Unix seconds of the points.
        span: The first and the last Unix second.
    """
    if not compared or not compared.get("worse_path"):
        return None
    series = {
        line: [
            (time, min(FAR, max(0.0, value / compared[f"{name}_needed"])))
            for time, value in zip(times, compared[f"{name}_path"], strict=False)
        ]
        for name, line in LINES.items()
    }
    return line_chart(
        "Evidence",
        series,
        span,
        write=lambda value: f"{value:.0%}",
        thresholds=[Threshold(1.0, "established")],
    )
