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

__all__ = ["render_gate", "render_report"]

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
    service = str(release.get("service") or "")
    return _page(
        release,
        gate,
        heading=f"{release.get('name') or 'release'} {release.get('version') or ''}".strip(),
        metrics=metrics,
        bars=timeline_of(release),
        charts=charts_of(release, gate, metrics, versions or {}),
        queries=report_queries(service, 10.0),
    )


def render_gate(gate: Mapping[str, Any]) -> str:
    """Write the report of a gate alone, from its evidence and nothing else.

    Args:
        gate: A gate's record, as ``gate_record`` lays it out.

    Returns:
        A page like that of a release, without its steps and what the proxy saw.
    """
    taken = {"id": "release_id", "service": "service", "state": "verdict", "ended_at": "ended"}
    release = {name: gate.get(key) for name, key in taken.items()}
    return _page(
        release | {"started_at": gate.get("since")},
        gate,
        heading=str(gate.get("canary") or "canary"),
        metrics=None,
        bars=(),
        charts=(),
        queries={},
    )


def _page(
    release: Mapping[str, Any],
    gate: Mapping[str, Any] | None,
    **parts: Any,  # noqa: ANN401
) -> str:
    state = str(release.get("state") or "")
    mark, title = TITLES.get(state, ("…", state or "unknown"))
    return _template().render(
        release={"service": "", **release},
        gate=gate,
        mark=mark,
        title=title,
        tone=state if state in TITLES else "open",
        reason=_headline(release.get("reason") or (gate or {}).get("reason") or _failure(release)),
        facts=_facts(release, gate),
        checks=checks_of(gate),
        coalmine_version=__version__,
        **parts,
    )


def _headline(reason: object) -> str:
    """Give the first line; a step has the others, such as a log's, below its own."""
    return str(reason).partition("\n")[0]


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
        ("Bento", _bento(release), True),
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


def _bento(release: Mapping[str, Any]) -> str:
    return f"{release['name']}:{release.get('version') or ''}" if release.get("name") else ""


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
