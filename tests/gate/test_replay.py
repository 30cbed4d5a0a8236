"""Replays and explanations: what a gate would have said, and what each check saw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.gate.judge import Verdict, judge
from coalmine.gate.replay import replay

VALUES = st.lists(st.sampled_from([0.0, 0.04, 1.0, math.nan, None]), min_size=1, max_size=31)


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
