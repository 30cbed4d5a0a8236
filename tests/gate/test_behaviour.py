"""What odd metrics count for, each case recorded in a real Prometheus."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from coalmine.gate.judge import Decision, judge
from coalmine.gate.plan import make_plan
from coalmine.gate.policy import parse_policy
from coalmine.gate.preflight import preflight
from coalmine.gate.runner import measure
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import BadQueryError

pytestmark = pytest.mark.integration

START, END, STEP = 1_700_000_000, 180, 5
POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {{name: odd}}
spec:
  window: 1m
  step: 5s
  timeout: 2m
  min_requests: 10
  coverage: 0.9
  no_data: {no_data}
  requests: {{query: 'requests{{rev="${{canary}}"}}'}}
  checks:
    - name: odd
{check}
"""
HELD = "      query: {query}\n      min: 0\n      max: 1\n      over: 20s"
LATENCY = """\
      compare:
        bucket: took_bucket{rev="${revision}"}
        quantile: 0.9
        slower: 0.2"""
ERRORS = """\
      compare:
        bad: errors{rev="${revision}"}
        total: requests{rev="${revision}"}
        margin: 0.05"""
Count = Callable[[int], float]


def resets(age: int) -> float:
    return 2.0 * (age % 60)


# Gauges by revision: from each age to what a scrape saw then; None was not scraped.
GAUGES: dict[str, dict[str, Callable[[int], float | None]]] = {
    "good": {"a": lambda _: 0.5},
    "nan": {"a": lambda age: math.nan if age > 30 else 0.5},
    "inf": {"a": lambda age: math.inf if age > 30 else 0.5},
    "late": {"a": lambda age: 0.5 if age % 35 == 0 else None},
    "gone": {"a": lambda age: 0.5 if age < 30 else None},
    "several": {"a": lambda _: 0.5, "b": lambda age: 0.5 if age < 100 else 2.0},
    "half": {"a": lambda _: 0.5, "b": lambda _: math.nan},
}


def export() -> str:
    rows: dict[str, list[str]] = {"gauge": [], "requests": [], "errors": [], "took_bucket": []}
    ages = range(0, END + 1, STEP)
    for rev, pods in GAUGES.items():
        for pod, value in pods.items():
            seen = [(age, found) for age in ages if (found := value(age)) is not None]
            rows["gauge"] += [f'gauge{{rev="{rev}",pod="{pod}"}} {v} {START + a}' for a, v in seen]
        rows["requests"] += [f'requests{{rev="{rev}"}} {9 * a} {START + a}' for a in ages]
    for name in ("requests", "errors"):
        factor = {"requests": 1.0, "errors": 0.01}[name]
        rows[name] += [f'{name}{{rev="resets"}} {factor * resets(a)} {START + a}' for a in ages]
        rows[name] += [f'{name}{{rev="r1"}} {factor * 50 * a} {START + a}' for a in ages]
    # A histogram that has no finite bucket, beside one of stable that has.
    for rev, bounds in (("good", ("+Inf",)), ("r1", ("0.1", "0.5", "+Inf"))):
        for le in bounds:
            labels = f'rev="{rev}",le="{le}"'
            rows["took_bucket"] += [f"took_bucket{{{labels}}} {9 * a} {START + a}" for a in ages]
    return "".join(f"# TYPE {n} unknown\n" + "\n".join(found) + "\n" for n, found in rows.items())


@pytest.fixture
def judged(recorded: Callable[[str], str]) -> Callable[..., Decision]:
    def judged(canary: str, check: str, no_data: str = "wait", age: int = 120) -> Decision:
        policy = parse_policy(POLICY.format(no_data=no_data, check=check), "odd")
        facts = {"canary": canary, "stable": "r1"}
        with PrometheusSource(recorded(export())) as source:
            preflight(policy, source, facts)
            evidence = measure(make_plan(policy, facts), source, START, START + age)
        return judge(policy, evidence, START + age)

    return judged


def held(query: str) -> str:
    return HELD.format(query=query)


GAUGE = 'gauge{rev="${canary}"}'
RATE = 'rate(requests{rev="${canary}"}[${window}])'


@pytest.mark.parametrize(
    ("canary", "query", "no_data", "expected", "words"),
    [
        ("good", GAUGE, "wait", "promote", "odd at worst 0.5"),
        # NaN is no data, and so is what is infinite; only `pass` sees that it is too much.
        ("nan", GAUGE, "wait", "inconclusive", "odd has 0% of the window's samples"),
        ("nan", GAUGE, "fail", "rollback", "odd had no data"),
        ("nan", GAUGE, "pass", "promote", ""),
        ("inf", GAUGE, "wait", "inconclusive", "odd has 0% of the window's samples"),
        ("inf", GAUGE, "fail", "rollback", "odd had no data"),
        ("inf", GAUGE, "pass", "rollback", "odd was"),
        # Every series is judged, and one that is NaN makes the sample a missing one.
        ("half", GAUGE, "wait", "inconclusive", "odd has 0% of the window's samples"),
        # A metric that nobody exports is no data, too.
        ("good", "no_such_metric", "wait", "inconclusive", "odd has 0% of the window's samples"),
        ("good", "no_such_metric", "fail", "rollback", "odd had no data in one sample"),
        ("good", "no_such_metric", "pass", "promote", ""),
        # A late scrape is the newest value of the last five minutes; in a rate it is missing.
        ("late", GAUGE, "wait", "promote", ""),
        ("late", f"avg_over_time({GAUGE}[20s])", "wait", "inconclusive", "of the window's samples"),
        # So is a series that ends without Prometheus' having seen it end.
        ("gone", GAUGE, "wait", "promote", ""),
        ("gone", f"avg_over_time({GAUGE}[20s])", "wait", "inconclusive", "has 0% of the window"),
        # A counter that falls began anew: rates are never negative.
        ("resets", f"clamp_max({RATE}, 1)", "wait", "promote", ""),
        # Quantiles without buckets are NaN or nothing.
        (
            "good",
            'histogram_quantile(0.9, took_bucket{rev="${canary}"})',
            "wait",
            "inconclusive",
            "odd has 0% of the window's samples",
        ),
        (
            "good",
            'histogram_quantile(0.9, requests{rev="${canary}"})',
            "wait",
            "inconclusive",
            "odd has 0% of the window's samples",
        ),
    ],
)
def test_a_threshold_on_odd_metrics(
    judged: Any, *, canary: str, query: str, no_data: str, expected: str, words: str
) -> None:
    decision = judged(canary, held(query), no_data)
    assert (decision.verdict, words in decision.reason) == (expected, True), decision.reason


def test_one_bad_series_of_several_is_enough(judged: Any) -> None:
    check = held(GAUGE) + "\n      fail_after: {total: 3}"
    decision = judged("several", check)
    assert decision.verdict == "rollback"
    assert "odd was 2 at worst (at least 0 and at most 1 is good) in 3 samples" in decision.reason


def test_a_reset_of_all_counters_is_no_error_and_no_lost_request(judged: Any) -> None:
    decision = judged("resets", ERRORS)
    assert decision.verdict == "promote", decision.reason
    compared = decision.checks[0].compared
    # Two resets, each of which loses what was counted after the last scrape before it.
    assert compared.canary == 220 == decision.requests
    assert compared.canary_bad == pytest.approx(2.2)


def test_a_histogram_without_buckets_is_never_established_to_be_good(judged: Any) -> None:
    decision = judged("good", LATENCY)
    assert decision.verdict == "inconclusive"
    assert "odd has answers of both sides in 0% of the window's steps" in decision.reason


def test_a_range_vector_is_refused_before_anything_is_judged(judged: Any) -> None:
    with pytest.raises(BadQueryError, match=r"check odd: .*range vector"):
        judged("good", held(f"{GAUGE}[1m]"))


STALE = 0x7FF0000000000002
"""The bits of the NaN by which Prometheus notes that it saw a series end."""


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def written(name: str, samples: list[tuple[int, bytes]]) -> bytes:
    """A remote write of one series: protobuf, in a snappy block that compresses nothing."""
    labels = {"__name__": name, "rev": "good"}
    series = b"".join(
        message(1, message(1, key.encode()) + message(2, value.encode()))
        for key, value in labels.items()
    )
    for age, bits in samples:
        time = varint(2 << 3) + varint((START + age) * 1000)
        series += message(2, varint(1 << 3 | 1) + bits + time)
    request = message(1, series)
    return varint(len(request)) + b"\xf4" + struct.pack("<H", len(request) - 1) + request


def test_a_series_that_prometheus_saw_end_has_no_value_any_more(receiving: str) -> None:
    ages = range(0, 61, STEP)
    gauge = [*((age, struct.pack("<d", 0.5)) for age in ages), (62, struct.pack("<Q", STALE))]
    requests = [(age, struct.pack("<d", 9.0 * age)) for age in range(0, 121, STEP)]
    for name, samples in (("gauge", gauge), ("requests", requests)):
        response = httpx.post(f"{receiving}/api/v1/write", content=written(name, samples))
        assert response.status_code == 204, response.text
    policy = parse_policy(POLICY.format(no_data="wait", check=held(GAUGE)), "odd")
    with PrometheusSource(receiving) as source:
        evidence = measure(make_plan(policy, {"canary": "good"}), source, START, START + 120)
    (series,) = evidence.checks["odd"]
    assert series.samples[-1].time == START + 60, "not five minutes later"
