"""The report: whole with everything, whole with nothing, and nothing from outside is markup."""

from __future__ import annotations

import html
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.gate.comparison import PART, Comparison, Undecided
from coalmine.gate.judge import judge
from coalmine.gate.plan import make_plan
from coalmine.gate.record import gate_record, write_record
from coalmine.gate.report.chart import Threshold, line_chart, share_chart
from coalmine.gate.report.metrics import ReportMetrics
from coalmine.gate.report.page import checks_of
from coalmine.gate.report.render import render_gate, render_report
from coalmine.gate.report.write import write_report
from coalmine.gate.runner import Tick
from coalmine.stack.layout import Endpoints, Layout

HOSTILE = "\"><script>alert(1)</script>'{{7*7}}"
BEGIN = 1_700_000_000.0


def iso(age: float) -> str:
    return datetime.fromtimestamp(BEGIN + age, UTC).isoformat()


def a_release(**changes: Any) -> dict[str, Any]:
    def step(name: str, begin: float, end: float) -> dict[str, Any]:
        times = {"started_at": iso(begin), "ended_at": iso(end)}
        return {"name": name, "state": "succeeded", "attempts": 1, "outputs": {}, **times}

    release = {
        "id": "r2",
        "service": "iris",
        "name": "iris_classifier",
        "version": "2",
        "state": "rolled_back",
        "verdict": "rollback",
        "reason": "error_rate was 31 %",
        "image_digest": "sha256:" + "0" * 64,
        "requested_at": iso(-1),
        "started_at": iso(0),
        "ended_at": iso(20),
        "event": {"source": "/demo", "id": "e2", "type": "t"},
        "steps": [step("retrieve", 0, 1), step("gate", 2, 12)],
    }
    return {**release, **changes}


@pytest.fixture
def gate(make: Any) -> dict[str, Any]:
    policy = make.policy(make.check(preset="error_rate"))
    facts = {"release_id": "r2", "service": "iris", "canary": "iris-r2", "stable": "iris-r1"}
    evidence = make.evidence([math.nan, math.inf, 0.3, 0.3, 0.3])
    tick = Tick(make.since + 4, evidence, judge(policy, evidence, make.since + 4))
    moment = datetime.fromtimestamp(make.since, UTC)
    record = gate_record(make_plan(policy, facts), tick, moment, facts)
    found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    return found


@pytest.fixture
def metrics() -> ReportMetrics:
    points = [(BEGIN + age, float(age)) for age in range(20)]
    both = {"iris-r1": points, "iris-r2": points}
    return ReportMetrics(span=(BEGIN, BEGIN + 20), traffic=both, errors=both, latency=both)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset"}]


def tags_of(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_everything_known_is_on_the_page(gate: Any, metrics: ReportMetrics) -> None:
    page = render_report(a_release(), gate, metrics, {"iris-r1": "1", "iris-r2": "2"})
    for text in (
        "rolled back",
        "error_rate was 31 %",
        "sha256:000",
        "1 · iris-r1 (stable)",
        "2 · iris-r2 (canary)",
        "at most 5 %",
        "10.0 s",
        "errors{revision=&#34;iris-r2&#34;}",
    ):
        assert text in page
    assert page.count("<svg") == 4


def test_a_comparisons_evidence_is_drawn_with_its_bound(make: Any, metrics: ReportMetrics) -> None:
    comparison = Comparison(0.01, 0.05, 0.05, Undecided.ESTIMATE)
    policy = make.policy(make.check(compare=comparison))
    rates = {"canary_bad": 2, "canary_total": 10, "stable_bad": 0, "stable_total": 90}
    series = [make.series([r * i for i in range(5)], **{PART: p}) for p, r in rates.items()]
    evidence = replace(make.evidence([]), checks={"errors": tuple(series)})
    decision = judge(policy, evidence, make.since + 4)
    assert decision.verdict == "rollback"
    facts = {"release_id": "r2", "service": "iris", "canary": "iris-r2", "stable": "iris-r1"}
    moment = datetime.fromtimestamp(make.since, UTC)
    record = gate_record(
        make_plan(policy, facts), Tick(make.since + 4, evidence, decision), moment, facts
    )
    stored = json.loads(json.dumps(record, allow_nan=False))
    (row,) = checks_of(stored)
    assert row.evidence is not None
    assert [bound.text for bound in row.evidence.bounds] == ["established"]
    worse, not_worse = row.evidence.lines
    assert (worse.label, worse.role) == ("worse than the margin", "canary")
    # The evidence for worse ends above the bound, that for not worse lies on the ground.
    (bound,) = row.evidence.bounds
    assert float(worse.path.rpartition(" ")[2]) < bound.at
    assert float(not_worse.path.rpartition(" ")[2]) == row.evidence.bottom
    page = render_report(a_release(), stored, metrics)
    assert "established" in page
    assert page.count("<svg") == 5


def test_the_page_loads_nothing_and_is_small(gate: Any, metrics: ReportMetrics) -> None:
    page = render_report(a_release(), gate, metrics)
    tags = tags_of(page)
    assert not tags.links
    assert not {"script", "link", "iframe", "img", "object"} & set(tags.names)
    assert "url(" not in page
    assert "@import" not in page
    assert len(page.encode()) < 1_000_000


def test_every_drawing_is_well_formed(gate: Any, metrics: ReportMetrics) -> None:
    page = render_report(a_release(), gate, metrics)
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert ET.fromstring(drawing).tag == "svg"
        assert "nan" not in drawing.lower()
        assert "inf" not in drawing.lower()


def test_hostile_names_stay_text(gate: Any, metrics: ReportMetrics) -> None:
    steps = [{"name": HOSTILE, "state": HOSTILE, "message": HOSTILE}]
    names = dict.fromkeys(("id", "service", "name", "version", "reason", "image_digest"), HOSTILE)
    event = {"source": HOSTILE, "id": HOSTILE, "type": HOSTILE}
    release = a_release(steps=steps, event=event, state=HOSTILE, **names)
    gate["checks"][0]["name"] = gate["policy"]["checks"][0]["name"] = HOSTILE
    gate["checks"][0]["result"]["state"] = HOSTILE
    plain = tags_of(render_report(a_release(steps=steps), gate, metrics)).names
    page = render_report(release, gate, metrics, {"iris-r2": HOSTILE})
    assert "<script" not in page
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]
    assert set(tags_of(page).names) <= set(plain)


def test_a_release_that_failed_early_has_a_report() -> None:
    steps = [{"name": "retrieve", "state": "failed", "message": "no such bento"}]
    release = a_release(steps=steps, state="failed", verdict=None, reason=None, image_digest=None)
    missing = ReportMetrics(span=(BEGIN, BEGIN), missing="no stack is running")
    page = render_report(release, None, missing)
    assert "retrieve: no such bento" in page
    assert "did not come to its gate" in page
    assert "No charts: no stack is running" in page


def test_a_failed_step_shows_its_diagnosis_line_by_line() -> None:
    message = "the canary does not come up: crash\nloading\n<b>model file</b> is corrupt"
    steps = [{"name": "canary", "state": "failed", "message": message}]
    release = a_release(steps=steps, state="failed", verdict=None, reason=f"canary: {message}")
    page = render_report(release, None, ReportMetrics(span=(BEGIN, BEGIN), missing="none"))
    assert '<p class="reason">canary: the canary does not come up: crash</p>' in page
    told = "loading\n&lt;b&gt;model file&lt;/b&gt; is corrupt"
    assert f'<pre class="message"><code>{told}</code></pre>' in page


def test_a_release_of_which_nothing_is_known_has_a_report() -> None:
    assert "unknown" in render_report({}, None, ReportMetrics(span=(0, 0)))


def test_a_report_without_prometheus_says_so(tmp_path: Path, gate: Any) -> None:
    layout = Layout(tmp_path)
    write_record(layout.releases / "r2" / "gate.json", gate)
    path = write_report(tmp_path, a_release())
    assert path == layout.releases / "r2" / "report.html"
    assert "no stack is running" in path.read_text()
    layout.write_endpoints(Endpoints("", "", "", "http://127.0.0.1:1"))
    assert "the connection failed" in write_report(tmp_path, a_release()).read_text()


NUMBER = st.floats(allow_nan=True, allow_infinity=True)
POINTS = st.lists(st.tuples(st.floats(BEGIN - 5, BEGIN + 50), NUMBER), max_size=20)


@pytest.mark.parametrize(
    ("verdict", "title"),
    [("promote", "promoted"), ("rollback", "rolled back"), ("inconclusive", "inconclusive")],
)
def test_a_gate_alone_has_a_report(gate: Any, verdict: str, title: str) -> None:
    page = render_gate(gate | {"verdict": verdict})
    assert f"<title>iris-r2: {title}</title>" in page
    assert "<h1>iris-r2 into iris</h1>" in page
    for words in (gate["reason"], gate["checks"][0]["query"], gate["requests_query"]):
        assert html.escape(words) in page.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    assert "What the proxy saw" not in page
    assert ">Bento<" not in page
    assert {"iris-r2", "iris-r1", "r2", "test"} <= set(re.findall(r"<code>(.*?)</code>", page))


def test_a_gate_that_could_read_no_metrics_has_a_report(gate: Any) -> None:
    gate["checks"][0] |= {"result": None, "series": []}
    assert "no data" in render_gate(gate)


def test_a_gates_report_takes_nothing_for_markup(gate: Any) -> None:
    plain = tags_of(render_gate(gate)).names
    page = render_gate(gate | dict.fromkeys(("reason", "service", "canary", "stable"), HOSTILE))
    assert tags_of(page).names == plain
    assert "<script" not in page


@settings(deadline=None)
@given(st.lists(POINTS, max_size=3), st.floats(0, 1e6))
def test_whatever_was_measured_is_drawn_inside_the_chart(
    series: list[list[tuple[float, float]]], bound: float
) -> None:
    named = {(str(i), "other"): points for i, points in enumerate(series)}
    span = (BEGIN, BEGIN + 40)
    one = line_chart("t", named, span, write=str, thresholds=[Threshold(bound, "limit")])
    for chart in (one, share_chart("t", named, span)):
        for line in chart.lines:
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", line.path.replace("h0", ""))]
            assert all(chart.left <= x <= chart.right for x in numbers[::2])
            assert all(chart.top <= y <= chart.bottom for y in numbers[1::2])


def _moves(path: str) -> int:
    return path.count("M")


def test_a_line_breaks_where_samples_are_missing() -> None:
    whole = [(float(t), 0.1) for t in range(10)]
    torn = [(t, v) for t, v in whole if not 3 < t < 7]
    for points, pieces in ((whole, 1), (torn, 2)):
        chart = line_chart("t", {("v2", "canary"): points}, (0.0, 10.0), write=str)
        assert _moves(chart.lines[0].path) == pieces


def test_no_ratio_has_an_axis_beyond_its_most() -> None:
    points = [(0.0, 1.0), (1.0, 0.98)]
    chart = line_chart("t", {("v2", "canary"): points}, (0.0, 1.0), write=str, most_possible=1.0)
    assert max(float(tick.text) for tick in chart.y_ticks) == 1.0
