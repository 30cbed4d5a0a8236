"""Reading policies: what is right is read, and every fault is named with its place and a fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.gate.model import FailAfter, NoData, OnInconclusive
from coalmine.gate.policy import load_policy, parse_policy, shipped_policies

TEXT = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata:
  name: mine
spec:
  window: 1m30s
  step: 5s
  delay: 10s
  timeout: 5m
  min_requests: 20
  coverage: 0.75
  no_data: wait
  on_inconclusive: rollback
  checks:
    - name: errors
      preset: error_rate
      max: 0.01
    - name: score
      query: avg(score{service="${service}"})
      min: 0.9
      no_data: fail
      over: 30s
      fail_after:
        total: 4
"""


def test_a_policy_is_read() -> None:
    policy = parse_policy(TEXT, "p.yaml")
    assert (policy.name, policy.window, policy.step, policy.delay) == ("mine", 90, 5, 10)
    assert (policy.timeout, policy.min_requests, policy.coverage) == (300, 20, 0.75)
    assert policy.on_inconclusive is OnInconclusive.ROLLBACK
    errors, score = policy.checks
    assert (errors.maximum, errors.over, errors.no_data) == (0.01, 90, NoData.WAIT)
    assert errors.fail_after == FailAfter(consecutive=1, total=None)
    assert (score.minimum, score.over, score.no_data) == (0.9, 30, NoData.FAIL)
    assert score.fail_after == FailAfter(consecutive=None, total=4)


@pytest.mark.parametrize("name", ["", "default", "demo", "thresholds"])
def test_shipped_policies_are_right(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == (name or "default")
    assert {"error_rate", "latency_p95", "proxy_restarts"} <= {c.name for c in policy.checks}
    assert name in {"", *shipped_policies()}


def test_thresholds_is_the_default_without_its_comparison() -> None:
    default, thresholds = load_policy("default"), load_policy("thresholds")
    held = tuple(check for check in default.checks if check.compare is None)
    assert len(held) == len(default.checks) - 1
    assert thresholds == replace(default, name="thresholds", checks=held)


@pytest.mark.parametrize("url", [False, True])
def test_a_policy_is_found_by_path_and_by_url(tmp_path: Path, url: bool) -> None:
    path = tmp_path / "my policy.yaml"
    path.write_text(TEXT)
    assert load_policy(path.as_uri() if url else str(path)).name == "mine"


@pytest.mark.parametrize("reference", ["nowhere.yaml", "file:///nowhere.yaml", "."])
def test_a_policy_that_is_not_there(reference: str) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        load_policy(reference)
    assert "default, demo, thresholds" in caught.value.fix


def test_a_policy_elsewhere_is_refused() -> None:
    with pytest.raises(InputError, match="is not on this machine"):
        load_policy("https://example.com/policy.yaml")


FAULTS = [
    (
        "spec:",
        "spec:\n  requests: {preset: nginx}",
        r"p.yaml:6: spec.requests.preset: 'nginx' is no preset of requests",
        "write one of envoy",
    ),
    ("spec:", "spec:\n  requests: {}", "requests has either a preset or a query", ""),
    ("coverage: 0.75", "covrage: 0.75", "p.yaml:11: spec.covrage: is no field", "write coverage"),
    ("      max: 0.01\n", "", r"p.yaml:15: spec.checks\[0\]: a check without a threshold", ""),
    (
        TEXT[TEXT.index("      max: 0.01") :],
        "",
        r"p.yaml:15: spec.checks\[0\]: a check without a threshold judges nothing\n",
        "give min, max or both",
    ),
    ("max: 0.01", "max: high", r"p.yaml:17: spec.checks\[0\].max: input should be", ""),
    ("max: 0.01", "maximum: 1", r"p.yaml:17: spec.checks\[0\].maximum: is no field", "write max"),
    ("max: 0.01", "max: .nan", "finite number", ""),
    ("max: 0.01", "max: yes", "valid number", ""),
    (
        "min: 0.9",
        "min: 2\n      max: 1",
        r"p.yaml:20: .*\.min: min is above max",
        "write 1.0 or less",
    ),
    ("window: 1m30s", "window: 90", "p.yaml:6: spec.window: 90 is no duration", ""),
    ("window: 1m30s", "window: 1 m", "'1 m' is no duration", ""),
    (
        "window: 1m30s",
        "window: 2s",
        "p.yaml:6: spec.window: is shorter than step",
        "write 5s or more",
    ),
    (
        "timeout: 5m",
        "timeout: 99s",
        "p.yaml:9: spec.timeout: is shorter than delay and window",
        "write 1m40s or more",
    ),
    (
        "window: 1m30s\n  step: 5s\n  delay: 10s\n  timeout: 5m",
        "window: 1m30s\n  step: 5s\n  delay: 11s\n  timeout: 1m41s",
        "p.yaml:9: spec.timeout: ends before a window of whole steps",
        "write 1m45s or more",
    ),
    ("timeout: 5m", "timeout: 30d", "p.yaml:7: spec.step: .* more than 10000 steps", "write 4m20s"),
    ("step: 5s", "step: 500ms", "p.yaml:7: spec.step: is shorter than 1s", "write 1s"),
    ("  no_data: wait\n", "", "spec.no_data: is missing", "add it"),
    ("no_data: fail", "no_data: skip", r"p.yaml:21: spec.checks\[1\].no_data: input should be", ""),
    ("min_requests: 20", "min_requests: 0", "p.yaml:10: spec.min_requests", ""),
    ("coverage: 0.75", "coverage: 0", "p.yaml:11: spec.coverage", ""),
    ("coverage: 0.75", "coverage: 1.1", "p.yaml:11: spec.coverage", ""),
    (
        "preset: error_rate",
        "preset: errors",
        r"p.yaml:16: .*.preset: 'errors' is no",
        "one of error_rate",
    ),
    ("preset: error_rate", "min: 1", "either a preset or a query", ""),
    ("min: 0.9", "min: 0.9\n      preset: error_rate", "either a preset or a query", ""),
    (
        "${service}",
        "${servce}",
        r"p.yaml:19: .*\$\{servce\} is no variable",
        "write one of ${service}",
    ),
    ('"${service}"', "${service}", "stands outside of quotes", 'write it as "${service}"'),
    ("over: 30s", "over: 0s", r"p.yaml:22: .*\.over: is nothing", "write a duration such as 1m"),
    ('avg(score{service="${service}"})', '"\\uD83D"', "half of a surrogate", "the whole character"),
    ("name: score", "name: errors", r"p.yaml:18: .*\[1\].name: two checks", "write another name"),
    ("name: score", "name: Bad Name", "p.yaml:18: .*.name: is no name", "write 1 to 63"),
    ("total: 4", "total: 0", "fail_after.total", ""),
    ("total: 4", "consecutive: null", "says nothing", "give consecutive, total or both"),
    ("kind: GatePolicy", "kind: Policy", "p.yaml:2: kind: input should be 'GatePolicy'", ""),
    ("coalmine.dev/v1", "coalmine.dev/v2", "p.yaml:1: apiVersion", ""),
    ("coverage: 0.75", "coverage: 75", "p.yaml:11: spec.coverage", "not percent"),
    ("max: 0.01", 'max: "0.01"', "max: input should be a valid number", "without quotes"),
    ("max: 0.01", "max: .nan", "max: input should be a finite number", "neither infinite"),
    ("min_requests: 20", "min_requests: 20.0", "a valid integer", "a whole number"),
    ("step: 5s", "step: 5s\n  step: 6s", "p.yaml:8: step: stands twice", ""),
    ("spec:", "spec: [", "is no YAML", ""),
    ("on_inconclusive: rollback", "on_inconclusive: promote", "spec.on_inconclusive", ""),
    (
        "on_inconclusive: rollback",
        "on_inconclusive: hold",
        "p.yaml:13: spec.on_inconclusive: hold needs to know for how long",
        "add hold beside it, such as hold: 1h",
    ),
    (
        "  step: 5s",
        "  hold: 1h\n  step: 5s",
        "p.yaml:7: spec.hold: goes with on_inconc",
        "add that or remove it",
    ),
    (
        "on_inconclusive: rollback",
        "on_inconclusive: hold\n  hold: 20h",
        "p.yaml:7: spec.step: timeout and hold are more than 10000 steps",
        "write 8s or more",
    ),
    (
        TEXT[TEXT.index("    - name: score") :],
        "      advisory: true\n",
        "p.yaml:14: spec.checks: every check is advisory, so none decides",
        "remove advisory from one",
    ),
    ("max: 0.01", "max: 0.01\n      advisory: 1", "advisory: input should be a valid boolean", ""),
    (TEXT, "", "the file: is no mapping", "write fields"),
    (TEXT, "- 1", "the file: is no mapping", ""),
    (TEXT, "a: 1\n---\nb: 2\n", "is no YAML", ""),
    (TEXT, "!!python/object:os.system {}", "is no", ""),
    (TEXT[TEXT.index("    - name: errors") :], "    []\n", "spec.checks", ""),
]


@pytest.mark.parametrize(("old", "new", "words", "fix"), FAULTS)
def test_a_fault_is_named_with_its_place(old: str, new: str, words: str, fix: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=words) as caught:
        parse_policy(TEXT.replace(old, new, 1), "p.yaml")
    assert caught.value.fix
    assert fix in caught.value.fix
    assert not caught.value.fix.startswith("see docs"), "says what to write"


def test_the_policy_in_the_documentation_is_right() -> None:
    page = Path(__file__).parents[2] / "docs" / "gate-policy.md"
    example = page.read_text().split("```yaml\n")[1].split("```")[0]
    assert parse_policy(example, "docs").name == "iris"
