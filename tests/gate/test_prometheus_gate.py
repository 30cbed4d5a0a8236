"""The whole gate against a real Prometheus with series as Envoy gives them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coalmine.gate.plan import make_plan
from coalmine.gate.policy import load_policy, parse_policy, shipped_policies
from coalmine.gate.preflight import preflight
from coalmine.gate.report.metrics import fetch_metrics
from coalmine.metrics.prometheus import PrometheusSource
from coalmine.metrics.protocol import BadQueryError
from coalmine.steps.contract import Surroundings
from coalmine.steps.gate import GateInputs, run

pytestmark = pytest.mark.integration

CANARY = "iris-r2"
LABEL = f'envoy_cluster_name="{CANARY}"'
Start = Callable[[str], str]
Count = Callable[[int], float]


def family(name: str, rows: list[str], kind: str = "counter") -> str:
    return f"# TYPE {name} {kind}\n" + "".join(f"{row}\n" for row in rows)


def rows(name: str, labels: str, values: dict[int, float], since: int) -> list[str]:
    return [f"{name}{{{labels}}} {value} {since + age}" for age, value in values.items()]


def envoy(
    since: int,
    *,
    seconds: int = 60,
    requests: Count = lambda age: 6.0 * age,
    errors: Count | None = None,
    uptime: Count = lambda age: 100.0 + age,
) -> str:
    """What a Prometheus scraped of one Envoy; 5xx series begin with the first 5xx."""
    ages = range(1, seconds + 1)
    total = {age: requests(age) for age in ages}
    bad = {age: errors(age) for age in ages if errors and errors(age) > 0}
    # OpenMetrics wants counters to end in _total, which Envoy's do not: they are unknown to it.
    text = family(
        "envoy_cluster_upstream_rq_completed",
        rows("envoy_cluster_upstream_rq_completed", LABEL, total, since),
        "unknown",
    )
    text += family(
        "envoy_cluster_upstream_rq_xx",
        rows("envoy_cluster_upstream_rq_xx", f'{LABEL},envoy_response_code_class="5"', bad, since),
        "unknown",
    )
    buckets = [
        row
        for le, share in {"25": 0.5, "50": 1.0, "+Inf": 1.0}.items()
        for row in rows(
            "envoy_cluster_upstream_rq_time_bucket",
            f'{LABEL},le="{le}"',
            {age: value * share for age, value in total.items()},
            since,
        )
    ]
    text += family("envoy_cluster_upstream_rq_time_bucket", buckets, "unknown")
    up = {age: uptime(age) for age in ages}
    return text + family("envoy_server_uptime", rows("envoy_server_uptime", "", up, since), "gauge")


@pytest.fixture
def since() -> int:
    return int(time.time()) - 100


@pytest.fixture
def judged(prometheus: Start, tmp_path: Path, since: int) -> Any:
    def judged(**world: Any) -> tuple[Any, dict[str, Any]]:
        url = prometheus(envoy(since, **world))
        inputs = GateInputs(
            release_id="r2",
            service="iris",
            canary=CANARY,
            since=datetime.fromtimestamp(since, UTC).isoformat(),
            stable="iris-r1",
            policy="demo",
            prometheus_url=url,
        )
        outputs = run(inputs, Surroundings(state=tmp_path))
        evidence = json.loads((tmp_path / "releases" / "r2" / "gate.json").read_text())
        return outputs, evidence

    return judged


def test_a_good_canary_is_promoted(judged: Any) -> None:
    outputs, evidence = judged()
    assert outputs.verdict == "promote", outputs.reason
    error_rate, latency, restarts = evidence["checks"]
    assert error_rate["result"]["worst"] == 0, "absent 5xx with requests present is no error"
    assert latency["result"]["worst"] == pytest.approx(47.5)
    assert restarts["result"]["worst"] == 0
    assert evidence["verdict"] == "promote"
    assert evidence["ended"]
    assert CANARY in error_rate["query"]


def test_a_canary_with_errors_is_rolled_back_within_seconds(judged: Any, since: int) -> None:
    outputs, evidence = judged(errors=lambda age: round(1.8 * age))
    assert outputs.verdict == "rollback"
    assert outputs.reason.startswith("error_rate was")
    assert evidence["checks"][0]["result"]["failed_at"] - since <= 7


def test_errors_of_the_first_scrape_are_counted(judged: Any) -> None:
    outputs, _ = judged(errors=lambda age: 40.0, requests=lambda age: 100.0 + age)
    assert outputs.verdict == "rollback", "increase() would see no growth here"


@pytest.mark.parametrize("when", [1, 5, 15])
def test_one_unlucky_error_is_forgiven(judged: Any, when: int) -> None:
    outputs, _ = judged(errors=lambda age: 1.0 if age >= when else 0.0)
    assert outputs.verdict == "promote", outputs.reason


def test_no_traffic_is_inconclusive(judged: Any) -> None:
    outputs, evidence = judged(requests=lambda age: 0.0)
    assert outputs.verdict == "inconclusive"
    assert "answered 0 of 30 requests" in outputs.reason
    assert evidence["checks"][0]["result"]["samples"] == 0


def test_traffic_that_stops_is_inconclusive(judged: Any) -> None:
    outputs, _ = judged(requests=lambda age: 6.0 * min(age, 4))
    assert outputs.verdict == "inconclusive", outputs.reason


def test_an_envoy_that_restarts_is_lost_evidence(judged: Any) -> None:
    outputs, _ = judged(uptime=lambda age: 100.0 + age if age < 8 else age - 8.0)
    assert outputs.verdict == "rollback"
    assert outputs.reason.startswith("proxy_restarts")


def test_a_step_that_runs_twice_gives_the_verdict_it_found(
    judged: Any, tmp_path: Path, since: int
) -> None:
    outputs, _ = judged()
    inputs = GateInputs(
        release_id="r2",
        service="iris",
        canary=CANARY,
        since=datetime.fromtimestamp(since, UTC).isoformat(),
        stable="iris-r1",
        prometheus_url="http://127.0.0.1:1",
    )
    assert run(inputs, Surroundings(state=tmp_path)) == outputs


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("errors[5m]", "range vector"),
        ("'text'", "string"),
        ("sum(", "parse error"),
        ("nothing_like(up)", "unknown function"),
    ],
)
def test_preflight_refuses_what_is_no_instant_vector(
    prometheus: Start, query: str, words: str
) -> None:
    text = shipped_policies()["demo"].replace("preset: latency_p95", f'query: "{query}"')
    with PrometheusSource(prometheus(envoy(int(time.time()) - 50))) as source:
        facts = {"service": "iris", "canary": CANARY}
        preflight(load_policy("demo"), source, facts)
        with pytest.raises(BadQueryError, match=f"check latency_p95: .*{words}"):
            preflight(parse_policy(text, "p.yaml"), source, facts)


@pytest.mark.parametrize("value", ['a"} or vector(1) #', "a\\", "a\nb", "é'`", "${window}"])
def test_hostile_names_stay_names(prometheus: Start, value: str) -> None:
    with PrometheusSource(prometheus(envoy(int(time.time()) - 50))) as source:
        preflight(load_policy("demo"), source, {"service": "iris", "canary": value})
        moment = datetime.now(UTC)
        for query in make_plan(load_policy("demo"), {"canary": value}).queries.values():
            found = source.query_range(query, start=moment, end=moment, step=timedelta(seconds=1))
            assert all(not series.labels for series in found)


@pytest.mark.parametrize(
    ("world", "code", "verdict"),
    [
        ({}, 0, "promote"),
        ({"errors": lambda age: 2.0 * age}, 1, "rollback"),
        ({"requests": lambda age: 0.0}, 3, "inconclusive"),
    ],
)
def test_the_command_exits_with_the_verdict(
    prometheus: Start, since: int, world: dict[str, Any], code: int, verdict: str
) -> None:
    url = prometheus(envoy(since, **world))
    command = [sys.executable, "-m", "coalmine", "gate", "--policy", "demo", "--prometheus", url]
    command += ["--service", "iris", "--canary", CANARY, "-o", "json"]
    command += ["--since", datetime.fromtimestamp(since, UTC).isoformat()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == code, result.stderr
    assert json.loads(result.stdout)["verdict"] == verdict


def test_the_report_finds_traffic_errors_and_latency(prometheus: Start, since: int) -> None:
    with PrometheusSource(prometheus(envoy(since, errors=lambda age: 3.0 * age))) as source:
        found = fetch_metrics(source, "iris", (since + 10.0, since + 50.0))
        assert found.traffic[CANARY][-1][1] == pytest.approx(6.0)
        assert found.errors[CANARY][-1][1] == pytest.approx(0.5)
        assert found.latency[CANARY][-1][1] == pytest.approx(47.5)
        assert not fetch_metrics(source, "ir.s", (since + 10.0, since + 50.0)).traffic
