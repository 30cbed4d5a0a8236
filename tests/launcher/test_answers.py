"""A person decides about a canary that is held: the real gate step in a real launcher's run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from coalmine.cli import cli

pytestmark = pytest.mark.integration

POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: held}
spec:
  window: 1s
  step: 1s
  timeout: 1s
  min_requests: 1
  coverage: 1.0
  no_data: wait
  on_inconclusive: hold
  hold: 1h
  checks: [{name: errors, preset: error_rate, max: 0.5}]
"""
# Nobody answers at that Prometheus, so the evidence never comes.
GATE = """
import os, subprocess, sys
import httpx
releases = httpx.get(os.environ['COALMINE_LAUNCHER_URL'] + '/releases').json()
release = next(one for one in releases if one['state'] == 'running')
sys.exit(subprocess.run([
    sys.executable, '-m', 'coalmine', 'step', 'gate', '--release-id', release['id'],
    '--service', 'iris', '--canary', 'iris-2', '--since', release['started_at'],
    '--policy', {policy!r}, '--prometheus-url', 'http://127.0.0.1:1', '--state', {state!r},
    '--verdict-path', sys.argv[-1],
]).returncode)
"""
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({!r})"


def pipeline(folder: Path) -> dict[str, Any]:
    (folder / "policy.yaml").write_text(POLICY)
    code = GATE.format(policy=str(folder / "policy.yaml"), state=str(folder / "work"))
    return {
        "tasks": [
            {"name": "gate", "code": code, "output": "verdict"},
            {"name": "promote", "code": "", "when": "gate.verdict=promote"},
            {"name": "rollback", "code": "", "when": "gate.verdict=rollback"},
        ],
        "exit": {"name": "finalize", "code": WRITE.format("promoted"), "output": "outcome"},
    }


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_what_a_person_says_is_the_verdict(
    launched: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    launcher = launched(pipeline(tmp_path))
    releases = tmp_path / "work" / "releases"

    def held(release_id: str) -> bool:
        path = releases / release_id / "gate.json"
        return path.is_file() and json.loads(path.read_text())["verdict"] == "hold"

    first, second = (launcher.post(id=i, name="iris").json()["id"] for i in ("1", "2"))
    assert call("approve", second, "--launcher", launcher.url).exit_code == 1, "it does not run yet"
    launcher.wait_for(lambda: held(first))
    [shown] = httpx.get(f"{launcher.url}/releases?state=held").json()
    assert (shown["id"], shown["state"], shown["answer"]) == (first, "running", "")
    assert "held" not in shown["held"]["reason"]
    assert " held " in call("runs", "--state", launcher.state).output
    assert "coalmine approve" in call("runs", first, "--launcher", launcher.url).output
    assert "held since" in call("runs", first, "--launcher", launcher.url).output
    done = call("approve", first[:6], "--state", launcher.state, "-o", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["id"] == first
    assert call("approve", first, "--state", launcher.state).exit_code == 0
    other = call("reject", first, "--launcher", launcher.url).exception
    assert "another answer was given before" in str(other)
    launcher.wait_for(lambda: held(second))
    assert "is rejected" in call("reject", second, "--state", launcher.state).output
    one, two = launcher.wait_ended()
    assert (one["verdict"], one["answer"]) == ("promote", "approved")
    assert (two["verdict"], two["answer"]) == ("rollback", "rejected")
    late = httpx.post(f"{launcher.url}/releases/{first}/approve")
    assert (late.status_code, "only a running release" in late.json()["detail"]) == (409, True)
