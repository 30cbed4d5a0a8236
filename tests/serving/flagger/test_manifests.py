"""What Flagger is given: held against its own CRD, and against its template language."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import InputError
from coalmine.gate.policy import load_policy, parse_policy
from coalmine.serving.flagger.analysis import (
    STOPPER,
    Analysis,
    Measure,
    canary_for,
    merged_metrics,
    templates_for,
)
from coalmine.serving.flagger.template import load_template, template_of
from coalmine.steps.flagger import analysis_of, plan_of
from tests.serving.flagger.conftest import ANALYSIS, V1, canary_of, deployment

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ["COALMINE_SHARED"])
PROMETHEUS = "http://prometheus.monitoring:9090"
DEFAULT = plan_of(load_policy("thresholds"), "iris", "ml")


def policy_of(check: str) -> str:
    return f"""
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {{name: mine}}
spec:
  window: 5m
  step: 15s
  timeout: 20m
  min_requests: 10
  coverage: 0.5
  no_data: fail
  checks:
    - name: checked
      {check}
"""


FAILS = "fail_after: {consecutive: 3, total: 9}\n      "


def analysis(check: str, percent: int = 10) -> Analysis:
    policy = parse_policy(policy_of(check), "policy.yaml")
    return analysis_of(plan_of(policy, "iris", "ml"), PROMETHEUS, percent)


def test_the_default_policy_in_flaggers_words() -> None:
    made = analysis_of(DEFAULT, PROMETHEUS, 10)
    assert (made.interval, made.threshold) == (60, 1), "one restart of a proxy fails the canary"
    assert made.weights == tuple(range(1, 11))
    assert [m.name for m in made.measures] == ["error_rate", "latency_p95", "proxy_restarts"]
    assert made.measures[0].query.startswith("max(")
    assert analysis(FAILS + "query: up\n      max: 1").threshold == 3


@given(percent=st.integers(1, 99), window=st.integers(1, 7200), step=st.integers(1, 120))
def test_the_canary_climbs_to_its_percent_and_no_further(
    percent: int, window: int, step: int
) -> None:
    policy = replace(DEFAULT.policy, window=float(window), step=float(step))
    made = analysis_of(replace(DEFAULT, policy=policy), PROMETHEUS, percent)
    assert made.weights[-1] == percent
    assert list(made.weights) == sorted(set(made.weights))
    assert made.weights[0] >= 1
    assert made.interval >= 10
    assert made.interval * len(made.weights) >= window


def test_every_series_is_held_against_every_bound() -> None:
    both = analysis(
        'query: |\n        f{a="#${canary}"} # note\n        + 1\n      min: 1\n      max: 2'
    )
    assert [(m.name, m.minimum, m.maximum) for m in both.measures] == [
        ("checked-max", None, 2.0),
        ("checked-min", 1.0, None),
    ]
    assert [" ".join(m.query.split()) for m in both.measures] == [
        'max(f{a="#iris"} + 1)',
        'min(f{a="#iris"} + 1)',
    ]


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (
            "compare: {preset: error_rate, margin: 0.01}",
            "the check checked of policy mine is a compare check",
        ),
        ("query: up\n      max: 1\n      no_data: pass", "to Flagger no data is a failed check"),
    ],
)
def test_what_flagger_cannot_check_is_refused_by_name(check: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        analysis(check)


@pytest.mark.parametrize("url", ["", "prometheus:9090", "http://me:secret@prometheus"])
def test_a_prometheus_that_flagger_cannot_be_given_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="prometheus_url") as caught:
        analysis_of(DEFAULT, url, 10)
    assert "secret" not in caught.value.message


@given(query=st.text(alphabet='{}"a ', max_size=12))
def test_a_query_comes_through_flaggers_template_language_unchanged(query: str) -> None:
    made = templates_for("iris", Analysis(PROMETHEUS, 10, 1, (10,), (Measure("one", query),)))
    text = made["coalmine-iris-one"]["spec"]["query"]
    assert rendered(text) == query


def rendered(text: str) -> str:
    """Do what text/template does with a text whose only action is a string."""
    out, rest = "", text
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        assert rest.startswith('"{{"}}')
        out, rest = out + before + "{{", rest.removeprefix('"{{"}}')
    return out + rest


def test_our_checks_replace_our_own_and_leave_the_others() -> None:
    first = merged_metrics("iris", ANALYSIS, [{"name": "theirs"}])
    assert merged_metrics("iris", ANALYSIS, first) == first
    assert [metric["name"] for metric in first] == ["theirs", "error_rate"]


@pytest.mark.parametrize("given", [None, canary_of(provider="istio")])
def test_what_is_made_passes_flaggers_crd(tmp_path: Path, given: dict[str, object] | None) -> None:
    checker = SHARED / "bin" / "check-manifests"
    if not checker.exists():
        pytest.skip("the published schemas are not here")
    made = [canary_for("iris", deployment(), ANALYSIS, given)]
    stopped = canary_for("iris", deployment(), ANALYSIS, given)
    stopped["spec"]["analysis"]["metrics"].append(dict(STOPPER))
    made += [stopped, *templates_for("iris", ANALYSIS).values()]
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump_all(made))
    ran = subprocess.run(
        [sys.executable, checker, path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_the_shipped_template_is_right() -> None:
    template = load_template(str(ROOT / "deploy" / "flagger" / "serving.yaml"))
    assert template is not None
    assert template.canary is not None
    made = template.filled("iris", V1, "")
    assert made["metadata"]["name"] == "iris"
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == V1
    assert load_template("") is None


@pytest.mark.parametrize(
    "items",
    [[], [deployment(), deployment()], [{"kind": "Service"}, deployment()], [canary_of()], [1]],
)
def test_a_template_that_makes_no_service_is_refused(items: list[dict[str, object]]) -> None:
    with pytest.raises(InputError, match="template"):
        template_of(items)
