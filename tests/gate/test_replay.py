"""Replays and explanations: what a gate would have said, and what each check saw."""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.cli.judging import replayed
from coalmine.gate.baseline import Baseline, Direction
from coalmine.gate.comparison import PART, PARTS, Comparison, SlowerThan, Undecided
from coalmine.gate.evidence import Evidence
from coalmine.gate.judge import Verdict, decide, judge
from coalmine.gate.model import Check, FailAfter, Policy
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.record import gate_record
from coalmine.gate.replay import replay
from coalmine.gate.runner import Tick
from coalmine.gate.weigh import weigh
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import MetricsSource, Series

VALUES = st.lists(st.sampled_from([0.0, 0.04, 1.0, math.nan, None]), min_size=1, max_size=31)
STEPS = st.lists(st.sampled_from([0.0, 1.0, 20.0, -30.0, None]), min_size=21, max_size=21)
"""How a counter grows from point to point; None is a missing sample, what falls is reset."""


@settings(max_examples=40)
@given(VALUES, st.floats(0, 35))
def test_a_replay_says_what_a_gate_would_have_said_then(
    make: Any, values: list[float | None], length: float
) -> None:
    policy, whole = make.policy(), make.evidence(values, rate=20)
    ticks = list(replay(policy, whole, make.since + length))
    for look, tick in enumerate(ticks):
        then = make.evidence(values[: look + 1], rate=20)
        assert tick.decision == judge(policy, then, make.since + look)
    assert all(tick.decision.verdict is Verdict.CONTINUE for tick in ticks[:-1])
    over = ticks[-1].decision.verdict is not Verdict.CONTINUE
    assert over or len(ticks) == math.floor(length) + 1


BUCKETS = tuple(product(("canary", "stable"), ("10", "+Inf")))


def cut(evidence: Evidence, now: float) -> Evidence:
    """Give what Prometheus had answered then: no later sample, and no series without one."""

    def known(series: tuple[Series, ...]) -> tuple[Series, ...]:
        kept = (tuple(s for s in one.samples if s.time <= now) for one in series)
        pairs = zip(series, kept, strict=True)
        return tuple(replace(one, samples=samples) for one, samples in pairs if samples)

    checks = {name: known(series) for name, series in evidence.checks.items()}
    return Evidence(evidence.since, known(evidence.requests), checks)


def counter(growth: list[float | None]) -> list[float | None]:
    total, values = 0.0, []
    for more in growth:
        total = max(0.0, total + (more or 0.0))
        values.append(None if more is None else total)
    return values


def mixed(make: Any, *checks: Check) -> Policy:
    """Hold each kind of check so that only the last look can be the end of it."""
    policy: Policy = make.policy(*checks, min_requests=10**9, coverage=0.3, timeout=100.0)
    return policy


@settings(max_examples=25)
@given(
    st.lists(STEPS, min_size=4, max_size=4),
    st.sampled_from(Undecided),
    st.lists(st.integers(0, 9), min_size=21, max_size=21),
    st.integers(0, 21),
)
def test_no_look_of_a_replay_knows_what_comes_later(
    make: Any, growth: list[list[float | None]], undecided: Undecided, ranks: list[int], late: int
) -> None:
    parts = zip(PARTS, growth, strict=True)
    steps = {part: make.series(counter(one), **{PART: part}) for part, one in parts}
    buckets = [
        make.series(counter(one), **{PART: f"{side}_bucket", "le": bound})
        for one, (side, bound) in zip(growth, BUCKETS, strict=True)
    ]
    sides = [make.series([float(r) for r in ranks], **{PART: "canary"})]
    sides += [make.series([float(9 - r) for r in ranks], **{PART: "stable"})]
    sides += [make.series([None] * late + [1.0] * (21 - late), **{PART: "stable", "pod": "2"})]
    comparison = Comparison(0.01, 0.2, 0.2, undecided)
    policy = mixed(
        make,
        make.check(name="ratio", compare=comparison),
        make.check(name="slow", compare=replace(comparison, slower=SlowerThan(0.9, 0.1))),
        make.check(name="rank", baseline=Baseline(Direction.EITHER)),
        make.check(name="bounds", fail_after=FailAfter(consecutive=3, total=6)),
    )
    checks = {"ratio": tuple(steps.values()), "slow": tuple(buckets), "rank": tuple(sides)}
    checks["bounds"] = (sides[0], sides[2])
    whole = Evidence(make.since, (steps["canary_total"],), checks)
    weighed = weigh(policy, whole, make.since + 20)
    for point in range(21):
        now = make.since + point
        then = judge(policy, cut(whole, now), now)
        assert decide(policy, weighed.until(point), now) == then


def calls_of(work: Callable[[], object]) -> int:
    """Count the calls of functions that some work takes."""
    count = 0

    def called(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_twice_the_steps_of_a_replay_are_twice_the_work(make: Any) -> None:
    def work(length: int) -> int:
        wave = [float(age % 7) for age in range(length)]
        parts = {part: [9.0 * age for age in range(length)] for part in PARTS}
        parts["canary_bad"] = parts["stable_bad"] = [age / 2 for age in range(length)]
        counters = tuple(make.series(values, **{PART: part}) for part, values in parts.items())
        sides = tuple(make.series(wave, **{PART: side}) for side in ("canary", "stable"))
        policy = make.policy(
            make.check(name="bounds", maximum=9.0),
            make.check(name="ratio", compare=Comparison(0.01, 0.05, 0.05, Undecided.TEST)),
            make.check(name="rank", baseline=Baseline(Direction.INCREASE)),
            min_requests=10**9,
            timeout=1000.0,
        )
        checks = {"bounds": sides[:1], "ratio": counters, "rank": sides}
        evidence = Evidence(make.since, counters[1:2], checks)
        end = make.since + length - 1
        return calls_of(lambda: deque(replay(policy, evidence, end), maxlen=0))

    once = work(100)
    assert once > 100 * 100, "each look takes some"
    assert work(200) < 2.2 * once


POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: past}
spec:
  window: 3m
  step: 10s
  timeout: 5m
  min_requests: 30
  coverage: 0.8
  no_data: wait
  requests:
    query: answers{rev="${canary}"}
  checks:
    - name: versus
      compare:
        bad: faults{rev="${revision}"}
        total: answers{rev="${revision}"}
        margin: 0.02
    - name: score
      query: score{rev="${canary}"}
      min: 0.5
"""
START = 1_700_000_000
Run = Callable[..., Result]


def history(fails_at: int) -> str:
    """Ten minutes of two revisions; after some seconds a fifth of the canary's answers fail."""
    families: dict[str, list[str]] = {"answers": [], "faults": [], "score": []}
    for age in range(0, 600, 10):
        for rev, rate in (("r1", 90), ("r2", 10)):
            families["answers"].append(f'answers{{rev="{rev}"}} {rate * age} {START + age}')
        bad = 2 * max(0, age - fails_at)
        families["faults"].append(f'faults{{rev="r2"}} {bad} {START + age}')
        families["score"].append(f'score{{rev="r2"}} 0.75 {START + age}')
    return "".join(
        f"# TYPE {name} unknown\n" + "\n".join(rows) + "\n" for name, rows in families.items()
    )


def moment(age: int) -> str:
    return datetime.fromtimestamp(START + age, UTC).isoformat()


@pytest.fixture
def gate(prometheus: Any, tmp_path: Path) -> Run:
    path = tmp_path / "past.yaml"
    path.write_text(POLICY)

    def gate(*arguments: str, fails_at: int = 10_000) -> Result:
        words, command = list(arguments), ["gate"]
        if words and words[0] == "explain":
            command.append(words.pop(0))
        command += ["--policy", str(path), "--prometheus", prometheus(history(fails_at))]
        command += ["--service", "iris", "--canary", "r2", "--stable", "r1"]
        return CliRunner().invoke(cli, [*command, *words])

    return gate


@pytest.mark.integration
@pytest.mark.parametrize(
    ("fails_at", "end", "code", "words"),
    [
        (10_000, 590, 0, "promote: every check passed for 3m and"),
        (130, 590, 1, "rollback: versus was"),
        (10_000, 60, 3, "continue: after 1m: the window of 3m is not over"),
    ],
)
def test_a_past_canary_is_judged_again(
    gate: Run, fails_at: int, end: int, code: int, words: str
) -> None:
    result = gate("--replay", moment(0), moment(end), fails_at=fails_at)
    assert result.exit_code == code, result.output
    assert result.stdout.startswith(words)
    lines = result.stderr.splitlines()
    assert lines[0].startswith("   0.0s  continue")
    assert lines[1].startswith("  60.0s  ")
    assert len(lines) <= 5, "one line a minute, and the verdict"


class Counting:
    """A metrics source that counts what it is asked."""

    def __init__(self, source: MetricsSource) -> None:
        self.asked, self._source = 0, source

    def query_range(
        self, expression: str, *, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        self.asked += 1
        return self._source.query_range(expression, start=start, end=end, step=step)


@pytest.mark.integration
def test_a_replay_asks_each_query_once_however_long_it_is(prometheus: Any) -> None:
    plan = make_plan(parse_policy(POLICY, "p"), {"canary": "r2", "stable": "r1"})
    begin = datetime.fromtimestamp(START, UTC)
    with PrometheusSource(prometheus(history(130))) as source:
        counting, ticks = Counting(source), list[Tick]()
        replayed(plan, counting, begin, begin + timedelta(minutes=9), ticks.append)
    assert counting.asked == 1 + len(plan.queries)
    assert ticks[-1].decision.verdict is Verdict.ROLLBACK
    record = gate_record(plan, ticks[-1], begin, {})
    newest = [s[0] for check in record["checks"] for one in check["series"] for s in one["samples"]]
    assert max(newest) == ticks[-1].now, "the record ends with the verdict"


@pytest.mark.integration
def test_an_explanation_shows_each_checks_query_and_evidence(gate: Run) -> None:
    result = gate("explain", "--since", moment(0), "--at", moment(100))
    assert result.exit_code == 0, result.output
    for words in (
        "continue: after 1m40s",
        "1000 of 30 requests",
        "versus: passing",
        "good   at most 2 percentage points above stable",
        "canary 0 %: 0 of 1000",
        "stable 0 %: 0 of 9000",
        "proof  worse: ",
        'query  faults{rev="r2"}',
        "score: waiting",
        "worst  0.75",
    ):
        assert words in result.stdout


@pytest.mark.integration
def test_a_stored_record_is_explained_without_prometheus(gate: Run, tmp_path: Path) -> None:
    made = gate("explain", "--since", moment(0), "--at", moment(100), "-o", "json")
    path = tmp_path / "gate.json"
    path.write_text(made.stdout)
    result = CliRunner().invoke(cli, ["gate", "explain", "--evidence", str(path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(json.loads(made.stdout)["verdict"])


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["gate", *arguments])
        assert result.exit_code != 0
        return f"{result.output} {result.exception}"

    named = ["--prometheus", "http://127.0.0.1:1", "--service", "iris", "--canary", "r2"]
    assert "Missing option '--prometheus'" in said()
    assert "Missing option '--canary'" in said(*named[:4])
    assert "Missing option '--since'" in said("explain", *named)
    assert "END is before START" in said(*named, "--replay", moment(9), moment(1))
    assert "is no RFC 3339 time" in said(*named, "--replay", "yesterday", moment(1))
    assert "is no RFC 3339 time" in said(*named, "--replay", moment(1), "tomorrow")
    path = tmp_path / "gate.json"
    for text in ("{}", "", "[]", '{"checks": [], "policy": {}}'):
        path.write_text(text)
        assert "is no evidence of a gate" in said("explain", "--evidence", str(path))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "2999-01-01T00:00:00Z"),
        ("--replay", "2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z"),
        ("--replay", moment(0), "2999-01-02T00:00:00Z"),
        ("explain", "--since", "2999-01-01T00:00:00Z"),
        ("explain", "--since", moment(0), "--at", "2999-01-01T00:00:00Z"),
    ],
)
def test_what_is_still_to_come_is_not_judged(arguments: tuple[str, ...]) -> None:
    named = ["--prometheus", "http://127.0.0.1:1", "--service", "iris", "--canary", "r2"]
    head = arguments[:1] if arguments[0] == "explain" else ()
    words = ["gate", *head, *named, *arguments[len(head) :]]
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, InputError)
    assert "2999-01-0" in str(result.exception)
    assert "is still to come" in str(result.exception)


def test_a_replay_without_metrics_says_nothing_about_the_canary() -> None:
    named = ["--prometheus", "http://127.0.0.1:1", "--service", "iris", "--canary", "r2"]
    result = CliRunner().invoke(cli, ["gate", *named, "--replay", moment(0), moment(9)])
    assert isinstance(result.exception, CoalmineError)
    assert result.exception.exit_code == 3, "1 is a roll-back"
    assert "no verdict: Prometheus at 127.0.0.1:1" in str(result.exception)


@pytest.mark.integration
def test_a_wrong_query_of_a_replay_is_named(gate: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(POLICY.replace('score{rev="${canary}"}', "score["))
    result = gate("--policy", str(wrong), "--replay", moment(0), moment(9))
    assert isinstance(result.exception, InputError)
    assert "check score: " in str(result.exception)


@pytest.mark.integration
def test_a_report_is_written_on_request(gate: Run, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    result = gate("--replay", moment(0), moment(590), "--report", str(page))
    assert result.exit_code == 0
    assert "<title>r2: promoted</title>" in page.read_text()
    (tmp_path / "file").write_text("")
    result = gate("--replay", moment(0), moment(590), "--report", str(tmp_path / "file" / "page"))
    assert result.exit_code == 0, "the verdict stands"
    assert "the report was not written" in result.stderr
