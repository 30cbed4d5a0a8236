"""Write the page. Pure: dictionaries in, HTML out; everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from coalmine import __version__
from coalmine.gate.report.metrics import ReportMetrics, report_queries
from coalmine.gate.report.page import charts_of, checks_of, seconds_of, timeline_of

__all__ = ["render_report"]

TITLES = {
    "promote": ("✓", "promoted"),
    "promoted": ("✓", "promoted"),
    "rollback": ("✗", "rolled back"),
    "rolled_back": ("✗", "rolled back"),
    "inconclusive": ("?", "inconclusive"),
    "failed": ("✗", "failed"),
    "cancelled": ("✗", "cancelled"),
}


def render_report(
    release: Mapping[str, Any],
    gate: Mapping[str, Any] | None,
    metrics: ReportMetrics,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Write the report of a release.

    Args:
        release: The release, as ``coalmine runs -o json`` lists it.
        gate: The gate's evidence file; None where the release did not come so far.
        metrics: What was measured while it ran.
        versions: The bento's version by revision name, where it is known.

    Returns:
        One HTML page without scripts and without anything to load.
    """
    state = str(release.get("state") or "")
    mark, title = TITLES.get(state, ("…", state or "unknown"))
    return _template().render(
        release={"name": "", "version": "", "service": "", **release},
        gate=gate,
        metrics=metrics,
        mark=mark,
        title=title,
        tone=state if state in TITLES else "open",
        reason=release.get("reason") or (gate or {}).get("reason") or _failure(release),
        facts=_facts(release, gate),
        bars=timeline_of(release),
        charts=charts_of(release, gate, metrics, versions or {}),
        checks=checks_of(gate),
        queries=report_queries(str(release.get("service") or ""), 10.0),
        coalmine_version=__version__,
    )


def _failure(release: Mapping[str, Any]) -> str:
    steps = release.get("steps") or ()
    failed = [step for step in steps if step.get("state") == "failed" and step.get("message")]
    return f"{failed[0].get('name')}: {failed[0]['message']}" if failed else ""


def _facts(
    release: Mapping[str, Any], gate: Mapping[str, Any] | None
) -> list[tuple[str, str, bool]]:
    """Give name, value and whether it is code, of what is known."""
    event, policy = release.get("event") or {}, (gate or {}).get("policy") or {}
    begin, end = seconds_of(release.get("started_at")), seconds_of(release.get("ended_at"))
    took = "" if begin is None or end is None else f"{end - begin:.1f} s"
    facts = [
        ("Release", release.get("id"), True),
        ("Service", release.get("service"), True),
        ("Bento", f"{release.get('name') or ''}:{release.get('version') or ''}", True),
        ("Image", release.get("image_digest"), True),
        ("Canary", (gate or {}).get("canary"), True),
        ("Stable before", (gate or {}).get("stable") or ("none" if gate else ""), True),
        ("Policy", policy.get("name"), True),
        ("Requests judged", _count(gate), False),
        ("Requested", release.get("requested_at"), False),
        ("Started", release.get("started_at"), False),
        ("Ended", release.get("ended_at"), False),
        ("Took", took, False),
        ("Event", " ".join(str(event[k]) for k in ("type", "source", "id") if event.get(k)), True),
    ]
    return [(name, str(value), code) for name, value, code in facts if value]


def _count(gate: Mapping[str, Any] | None) -> str:
    count = (gate or {}).get("requests")
    return f"{count:.0f}" if isinstance(count, int | float) else ""


@cache
def _template() -> Template:
    source = (files("coalmine.gate.report") / "report.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
