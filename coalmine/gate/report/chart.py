"""Charts as numbers: where each line, tick and mark goes. The template only writes them down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Chart", "Line", "Mark", "Threshold", "line_chart", "share_chart"]

WIDTH, HEIGHT = 720.0, 190.0
FAR = 4.0
TINY, HUGE = 1e-12, 1e15
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 18.0, 24.0

Points = Sequence[tuple[float, float]]
"""Time in Unix seconds and value; NaN, infinite and absurd values are gaps."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series as drawn.

    Attributes:
        label: For the legend.
        role: ``canary``, ``stable`` or ``other``: its colour.
        path: SVG path of its line, or of its area in a share chart.
    """

    label: str
    role: str
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: a position and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound of a check that belongs to the chart: its value and its text."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A whole chart in SVG user units; empty where it has no lines.

    Attributes:
        title: What it shows.
        lines: What is drawn, in the order of the legend.
        x_ticks: Positions and texts along the time.
        y_ticks: Positions and texts along the values.
        marks: Moments, as upright lines.
        bounds: Thresholds, as level lines.
        beyond: Texts of thresholds that lie far above all values and are not drawn.
        filled: Whether the paths are areas.
    """

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    marks: tuple[Mark, ...] = ()
    bounds: tuple[Mark, ...] = ()
    beyond: tuple[str, ...] = ()
    filled: bool = False
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float
    top: float

    def x(self, time: float) -> float:
        share = (time - self.begin) / max(self.end - self.begin, 1e-9)
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = min(max(value / self.top, 0.0), 1.0)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def line_chart(
    title: str,
    series: Mapping[tuple[str, str], Points],
    span: tuple[float, float],
    *,
    write: Callable[[float], str],
    thresholds: Iterable[Threshold] = (),
    marks: Iterable[Mark] = (),
    most_possible: float = math.inf,
) -> Chart:
    """Draw one line a series; it breaks where samples are missing.

    Args:
        title: What it shows.
        series: Points by label and role.
        span: The first and the last Unix second.
        write: Writes a value for people.
        thresholds: Bounds to draw.
        marks: Moments to draw, in Unix seconds.
        most_possible: No axis goes beyond this value, e.g. 1 for a ratio.
    """
    values = [v for points in series.values() for _, v in points if _drawable(v)]
    most = max(values, default=0.0)
    # A bound far above all values would press the lines flat; it is told in words instead.
    known = tuple(thresholds)
    bounds = tuple(bound for bound in known if bound.value <= FAR * most or most <= 0)
    ticks = _ticks(max([most, *(bound.value for bound in bounds)]), most_possible)
    scale = _Scale(*span, top=ticks[-1])
    gap = _gap(series.values())
    lines = tuple(
        Line(label, role, _path(points, scale, gap)) for (label, role), points in series.items()
    )
    return Chart(
        title=title,
        lines=tuple(line for line in lines if line.path) if values else (),
        x_ticks=_time_ticks(scale),
        y_ticks=tuple(Mark(scale.y(tick), write(tick)) for tick in ticks),
        marks=_placed(marks, scale),
        bounds=tuple(Mark(scale.y(bound.value), bound.text) for bound in bounds),
        beyond=tuple(bound.text for bound in known if bound not in bounds),
    )


def share_chart(
    title: str,
    series: Mapping[tuple[str, str], Points],
    span: tuple[float, float],
    *,
    marks: Iterable[Mark] = (),
) -> Chart:
    """Draw what part of the whole each series has, stacked from below."""
    scale = _Scale(*span, top=1.0)
    below: dict[float, float] = {}
    totals = _totals(series.values())
    lines = []
    for (label, role), points in series.items():
        rates = {time: value for time, value in points if _drawable(value)}
        times = [time for time, total in sorted(totals.items()) if total > 0]
        lower = [below.get(time, 0.0) for time in times]
        upper = [
            low + rates.get(time, 0.0) / totals[time]
            for low, time in zip(lower, times, strict=True)
        ]
        below = dict(zip(times, upper, strict=True))
        lines.append(Line(label, role, _area(times, lower, upper, scale)))
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    return Chart(
        title=title,
        lines=tuple(line for line in lines if line.path),
        x_ticks=_time_ticks(scale),
        y_ticks=tuple(Mark(scale.y(tick), f"{tick:.0%}") for tick in ticks),
        marks=_placed(marks, scale),
        filled=True,
    )


def _gap(series: Iterable[Points]) -> float:
    """Give the seconds between two points beyond which samples are missing between them."""
    times = [[time for time, _ in points] for points in series]
    spacings = [after - before for row in times for before, after in pairwise(row)]
    return 2.5 * min(spacings, default=math.inf)


def _path(points: Points, scale: _Scale, gap: float) -> str:
    parts, pen, last = [], "M", math.inf
    for time, value in points:
        if not _drawable(value):
            pen = "M"
            continue
        pen = "M" if time - last > gap else pen
        last = time
        parts.append(f"{pen}{scale.x(time)} {scale.y(value)}")
        # A lone point between gaps is drawn as a dot by its round line cap.
        parts += ["h0"] if pen == "M" else []
        pen = "L"
    return "".join(parts)


def _area(
    times: Sequence[float], lower: Sequence[float], upper: Sequence[float], scale: _Scale
) -> str:
    if all(high <= low for high, low in zip(upper, lower, strict=True)):
        return ""
    there = [f"{scale.x(time)} {scale.y(value)}" for time, value in zip(times, upper, strict=True)]
    back = [f"{scale.x(time)} {scale.y(value)}" for time, value in zip(times, lower, strict=True)]
    return "M" + "L".join([*there, *reversed(back)]) + "Z"


def _drawable(value: float) -> bool:
    """Tell whether a value is a number that a chart can show."""
    return math.isfinite(value) and abs(value) <= HUGE


def _totals(series: Iterable[Points]) -> dict[float, float]:
    totals: dict[float, float] = {}
    for points in series:
        for time, value in points:
            if _drawable(value):
                totals[time] = totals.get(time, 0.0) + max(value, 0.0)
    return totals


def _placed(marks: Iterable[Mark], scale: _Scale) -> tuple[Mark, ...]:
    inside = (mark for mark in marks if scale.begin <= mark.at <= scale.end)
    return tuple(Mark(scale.x(mark.at), mark.text) for mark in inside)


def _ticks(most: float, possible: float = math.inf) -> list[float]:
    """Give three to six round numbers from 0 to at least ``most``, and no more than possible."""
    top = min(most * 1.02 if most > TINY else 1.0, max(possible, most))
    size = _round_up(top / 4)
    return [min(size * index, max(possible, most)) for index in range(math.ceil(top / size) + 1)]


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= value * 0.999))


def _time_ticks(scale: _Scale) -> tuple[Mark, ...]:
    length = scale.end - scale.begin
    size = next((s for s in TIME_STEPS if length / s <= 8), TIME_STEPS[-1])  # noqa: PLR2004
    count = min(math.floor(length / size), 40)
    ages = [index * size for index in range(count + 1)]
    return tuple(Mark(scale.x(scale.begin + age), _age_text(age)) for age in ages)


TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)


def _age_text(seconds: int) -> str:
    if seconds < 60 or seconds % 60:  # noqa: PLR2004
        return f"{seconds}s"
    minutes = seconds // 60
    return f"{minutes}m" if minutes < 60 or minutes % 60 else f"{minutes // 60}h"  # noqa: PLR2004
