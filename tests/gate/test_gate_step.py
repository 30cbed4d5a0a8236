"""The step refuses what it cannot judge, before it asks anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.steps.contract import Surroundings
from coalmine.steps.gate import GateInputs, run

RIGHT = {
    "release_id": "r2",
    "service": "iris",
    "canary": "iris-r2",
    "since": "2026-01-01T00:00:00Z",
    "policy": "demo",
    "prometheus_url": "http://127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("since", "yesterday", "no RFC 3339 time"),
        ("since", "2026-01-01T00:00:00", "no RFC 3339 time"),
        ("since", "2999-01-01T00:00:00Z", "still to come"),
        ("release_id", "../../etc", "no release id"),
        ("policy", "nowhere.yaml", "cannot be read"),
        ("canary", "", "no name"),
        ("prometheus_url", "localhost:9090", "no URL"),
    ],
)
def test_wrong_inputs(tmp_path: Path, field: str, value: str, words: str) -> None:
    inputs: dict[str, Any] = {**RIGHT, field: value}
    with pytest.raises(InputError, match=words):
        run(GateInputs(**inputs), Surroundings(state=tmp_path))
    assert not list(tmp_path.iterdir())


def test_without_a_prometheus_there_must_be_a_stack(tmp_path: Path) -> None:
    inputs = GateInputs(**{**RIGHT, "prometheus_url": ""})
    with pytest.raises(CoalmineError, match="no stack is running"):
        run(inputs, Surroundings(state=tmp_path))


def test_a_prometheus_that_is_away_until_the_timeout(tmp_path: Path) -> None:
    outputs = run(GateInputs(**RIGHT), Surroundings(state=tmp_path))
    assert outputs.verdict == "inconclusive"
    assert "does not answer" in outputs.reason
    assert "<title>iris-r2: inconclusive</title>" in outputs.report
    assert (tmp_path / "releases" / "r2" / "gate.json").is_file()
    assert run(GateInputs(**RIGHT), Surroundings(state=tmp_path)) == outputs, "from its evidence"
