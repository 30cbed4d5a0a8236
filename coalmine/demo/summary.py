"""What the demo came to, and whether it is what it promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coalmine.demo.load import Answer, Tally

__all__ = ["Chapter", "ReleaseRow", "Summary", "problems_of", "row_of"]

MODEL_FAILED = 500
"""The one status a raising model answers with; what the proxy itself fails with is another."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One release of the demo and what must become of it.

    Attributes:
        version: The bento's version.
        about: The model, in a few words.
        expected: The state the release must end in.
        failing: Whether its model answers some requests with 500.
    """

    version: str
    about: str
    expected: str
    failing: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release, as the summary shows it.

    Attributes:
        chapter: What was asked for.
        release_id: The release's id.
        revision: The name its answers carry.
        state: What it ended as.
        verdict: The gate's.
        reason: Why, in a sentence.
        steps: Name and duration in seconds of every step that ran.
        report: Path of its HTML report, once it is written.
    """

    chapter: Chapter
    release_id: str
    revision: str
    state: str
    verdict: str
    reason: str
    steps: tuple[tuple[str, float], ...]
    report: str = ""

    def seconds(self, step: str) -> float:
        """Give how long a step took; 0 where it did not run."""
        return dict(self.steps).get(step, 0.0)


@dataclass(frozen=True, slots=True)
class Summary:
    """All releases of the demo, what its users saw, and what is wrong with it."""

    rows: tuple[ReleaseRow, ...]
    tally: Tally
    problems: tuple[str, ...]

    @property
    def unexcused(self) -> int:
        """Count the failed requests that no bad model can be blamed for."""
        return sum(unexcused(self.rows, self.tally).values())


def row_of(chapter: Chapter, release: Mapping[str, Any]) -> ReleaseRow:
    """Sum up one ended release.

    Args:
        chapter: What was asked for.
        release: The release as ``coalmine runs -o json`` shows it.
    """
    return ReleaseRow(
        chapter=chapter,
        release_id=release["id"],
        revision=f"{release['service']}-{release['id']}",
        state=release["state"],
        verdict=release["verdict"] or "",
        reason=release["reason"] or "",
        steps=tuple((s["name"], _seconds(s)) for s in release["steps"] if s["started_at"]),
    )


def unexcused(rows: tuple[ReleaseRow, ...], tally: Tally) -> dict[Answer, int]:
    """Find the failed requests that were not answered with 500 by a model known to do so."""
    excused = {Answer(row.revision, MODEL_FAILED) for row in rows if row.chapter.failing}
    return {a: n for a, n in tally.counts.items() if a.failed and a not in excused}


def problems_of(
    rows: tuple[ReleaseRow, ...], tally: Tally, *, window_seconds: float
) -> tuple[str, ...]:
    """Hold the demo against its promise.

    Args:
        rows: Its releases.
        tally: What its users saw.
        window_seconds: The gate's window; a bad version must be out before its end.

    Returns:
        One sentence for each broken promise; none if all is well.
    """
    found = [
        f"{row.chapter.version} ended as {row.state}, not {row.chapter.expected}: {row.reason}"
        for row in rows
        if row.state != row.chapter.expected
    ]
    found += [
        f"{n} requests failed with {a.status or 'no answer'} from {a.revision or 'the proxy'}"
        for a, n in unexcused(rows, tally).items()
    ]
    found += [
        f"nobody called {row.chapter.version}" for row in rows if not tally.sent(row.revision)
    ]
    found += [
        f"{row.chapter.version} was judged for {row.seconds('gate'):.0f} s, not rolled back early"
        for row in rows
        if row.chapter.failing and row.seconds("gate") >= window_seconds
    ]
    return tuple(found)


def _seconds(step: Mapping[str, Any]) -> float:
    if not step["started_at"] or not step["ended_at"]:
        return 0.0
    ended, started = (datetime.fromisoformat(step[key]) for key in ("ended_at", "started_at"))
    return (ended - started).total_seconds()
