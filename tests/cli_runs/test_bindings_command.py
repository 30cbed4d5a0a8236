"""``coalmine bindings``: what a file would start, without a launcher."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from coalmine.cli import cli
from coalmine.launcher.release import release_id_of

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "dev.coalmine.release.requested.v1",
    "data": {"name": "iris", "version": "v2"},
}
BINDINGS = """\
bindings:
  - name: mine
    types: [dev.coalmine.*]
    pipeline: release
    on_conflict: reject
    parameters:
      - {name: name, value: $(body.name)}
      - {name: service, value: $(body.name)}
"""


def call(*args: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bindings.yaml"
    path.write_text(BINDINGS)
    return path


def test_what_an_event_would_start(file: Path) -> None:
    shown = call("bindings", "test", "-", "--bindings", file, "-o", "json", stdin=json.dumps(EVENT))
    started = json.loads(shown.output)
    assert started["id"] == release_id_of("/s", "1")
    assert (started["binding"], started["on_conflict"]) == ("mine", "reject")
    assert started["parameters"]["service"] == "iris"
    text = call("bindings", "test", "-", stdin=json.dumps(EVENT)).output
    assert "binding release takes it" in text
    assert "  version = v2" in text


def test_what_is_not_taken(file: Path) -> None:
    other = json.dumps(EVENT | {"type": "other"})
    refused = call("bindings", "test", "-", "--bindings", file, stdin=other)
    assert refused.exception
    assert "no binding takes events of type other" in str(refused.exception)


def test_check(file: Path) -> None:
    default = call("bindings", "check").output
    assert "starts release, or if asked progressive, on local" in default
    assert "mine: dev.coalmine.* starts release on local" in call("bindings", "check", file).output
    assert call("bindings", "check", "-o", "json").exit_code == 0
    file.write_text(BINDINGS.replace("pipeline: release", "pipeline: none"))
    assert "no compiled pipeline none" in str(call("bindings", "check", file).exception)
    file.write_text(BINDINGS.replace("{name: name,", "{name: nmae,"))
    wrong = str(call("bindings", "check", file).exception)
    assert "the pipeline release does not take: nmae" in wrong


def test_the_schema_describes_the_file() -> None:
    schema = json.loads(call("bindings", "schema").output)
    jsonschema.validate(yaml.safe_load(BINDINGS), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(BINDINGS.replace("types", "type")), schema)
