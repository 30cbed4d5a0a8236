"""The JSON schema: fresh, and of one mind with what reads the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from coalmine._base.errors import InputError
from coalmine.cli import cli
from coalmine.gate.policy import parse_policy, shipped_policies

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "gate-policy.schema.json").read_text())
EXAMPLES = re.findall("```yaml\n(.*?)```", (DOCS / "gate-policy.md").read_text(), re.DOTALL)
POLICY: str = EXAMPLES[0]
MORE = "".join(example for example in EXAMPLES if example.startswith("    - name"))
HELD = next(example for example in EXAMPLES if "hold:" in example)


def errors(text: str) -> list[str]:
    made = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in made.iter_errors(yaml.safe_load(text))]


def test_it_is_fresh() -> None:
    printed = CliRunner().invoke(cli, ["gate", "schema"])
    assert json.loads(printed.stdout) == SCHEMA, (
        "stale; fix: coalmine gate schema > docs/gate-policy.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_is_described() -> None:
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    fields = [(name, spec) for part in parts for name, spec in part.get("properties", {}).items()]
    assert [name for name, spec in fields if not {"description", "const", "$ref"} & {*spec}] == []


@pytest.mark.parametrize(
    "text", [*shipped_policies().values(), POLICY, POLICY + MORE + HELD], ids=lambda t: t[:20]
)
def test_what_is_right_is_right_by_the_schema(text: str) -> None:
    assert errors(text) == []
    parse_policy(text, "p")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("coverage: 0.9", "covrage: 0.9"),
        ("coverage: 0.9", "coverage: 1.5"),
        ("window: 10m", "window: 600"),
        ("window: 10m", "window: 10 m"),
        ("window: 10m", ""),
        ("no_data: wait", "no_data: skip"),
        ("no_data: wait", ""),
        ("min_requests: 100", "min_requests: 0"),
        ("max: 0.01", "max: high"),
        ("max: 0.01", "maximum: 1"),
        ("preset: error_rate", "preset: errors"),
        ("preset: error_rate", "preset: error_rate\n      query: up"),
        ("preset: error_rate", ""),
        ("name: score", "name: Bad Name"),
        ("kind: GatePolicy", "kind: Policy"),
        ("total: 12", "total: 1.5"),
        ("margin: 0.005", "margin: 5"),
        ("slower: 0.2", "slower: -1"),
        ("direction: increase", "direction: up"),
        ("direction: increase", ""),
        ('"${revision}-.*"', '"${canary}-.*"'),
        ("hold: 12h", "hold: forever"),
    ],
)
def test_what_is_wrong_is_wrong_by_the_schema_too(old: str, new: str) -> None:
    whole = POLICY + MORE + HELD
    assert old in whole
    text = whole.replace(old, new, 1)
    assert errors(text)
    with pytest.raises(InputError):
        parse_policy(text, "p")
