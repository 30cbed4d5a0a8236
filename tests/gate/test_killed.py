"""A gate step that is killed again and again comes to the verdict of one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: killed}
spec:
  window: 5s
  step: 1s
  timeout: 20s
  min_requests: 10
  coverage: 0.9
  no_data: wait
  requests: {query: 'requests{rev="${canary}"}'}
  checks:
    - name: score
      query: score{rev="${canary}"}
      min: 0.5
      fail_after: {consecutive: 3}
"""
GOOD, BAD = "good", "bad"


def export(since: int) -> str:
    """What will be scraped until half a minute from now; the bad one fails from second 3 to 6."""
    rows: dict[str, list[str]] = {"requests": [], "score": []}
    for rev in (GOOD, BAD):
        for age in range(40):
            low = rev == BAD and 3 <= age <= 6
            rows["requests"].append(f'requests{{rev="{rev}"}} {9 * age} {since + age}')
            rows["score"].append(f'score{{rev="{rev}"}} {0.1 if low else 0.9} {since + age}')
    return "".join(f"# TYPE {n} unknown\n" + "\n".join(found) + "\n" for n, found in rows.items())


def test_kill_9_at_any_moment_changes_no_verdict(
    prometheus: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    since = int(time.time())
    url = prometheus(export(since))
    began = datetime.fromtimestamp(since, UTC).isoformat()
    outputs = {rev: tmp_path / f"verdict-{rev}" for rev in (GOOD, BAD)}

    def start(rev: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "coalmine", "step", "gate", "--release-id", rev]
        command += ["--service", "iris", "--canary", rev, "--since", began]
        command += ["--policy", str(tmp_path / "policy.yaml"), "--prometheus-url", url]
        command += ["--state", str(tmp_path), "--verdict-path", str(outputs[rev])]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    kills = 0
    for seconds in (0.2, 0.7, 1.1, 1.5):
        running = {rev: start(rev) for rev in outputs}
        time.sleep(seconds)  # the moment of the kill is what is tried here
        for rev, process in running.items():
            kills += process.poll() is None
            process.kill()
            process.wait()
            path = tmp_path / "releases" / rev / "gate.json"
            assert not path.exists() or json.loads(path.read_text()), "never a part of a file"
    assert kills >= 2
    assert [process.wait(120) for process in map(start, outputs)] == [0, 0]
    assert [path.read_text() for path in outputs.values()] == ["promote", "rollback"]
    bad = json.loads((tmp_path / "releases" / BAD / "gate.json").read_text())
    assert bad["checks"][0]["result"]["failed_at"] == since + 5
