"""A gate on a cluster holds its canary for a person, whom it finds by what its engine was told.

The launcher is the real command, the gate the real step, started the way a cluster would start the
container of the run that the launcher made: from its parameters, and a Secret for the token.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines import pods
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi, serve

pytestmark = pytest.mark.integration

RUN = kind_of("tekton.dev/v1", "PipelineRun")
COMPILED = Path(__file__).parents[2] / "compiled" / "kfp"
CI, GATE = "a-token-for-everything", "a-token-for-the-gate-alone"
ACCESS = """\
tokens:
  - {name: ci, env: CI_TOKEN}
  - {name: gate, env: GATE_TOKEN, may: [read]}
"""
BINDINGS = """\
bindings:
  - name: far
    types: [dev.coalmine.release.requested.v1]
    pipeline: release
    engine: tekton
    parameters:
      - {name: service, value: iris}
      - {name: name, value: iris}
      - {name: policy, value: %s}
      - {name: prometheus_url, value: "http://127.0.0.1:1"}
      - {name: launcher_url, value: $(body.launcher_url), default: ""}
"""
POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: held}
spec: {window: 1s, step: 1s, timeout: 2s, min_requests: 1, coverage: 0.5, no_data: wait,
       on_inconclusive: hold, hold: 2m, checks: [{name: errors, preset: error_rate, max: 0.05}]}
"""


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        data = {"tasks": base64.b64encode(GATE.encode()).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "coalmine-token"}}
        running.store.create({**secret, "data": data}, "ci")
        yield running


@pytest.fixture
def launcher(
    api: KubeApi, launched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv("CI_TOKEN", CI)
    monkeypatch.setenv("GATE_TOKEN", GATE)
    (tmp_path / "access.yaml").write_text(ACCESS)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "bindings.yaml").write_text(BINDINGS % (tmp_path / "policy.yaml"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "port": port,
        "access": tmp_path / "access.yaml",
        "bindings": tmp_path / "bindings.yaml",
        "pipelines": COMPILED,
        "kubeconfig": api.kubeconfig(tmp_path / "kubeconfig", "ci"),
        "tasks-url": f"http://127.0.0.1:{port}",
        "tasks-secret": "coalmine-token/tasks",
    }
    return launched({}, real=True, **options)


def _start_gate(api: KubeApi, run: dict[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    secret = api.store.get(kind_of("v1", "Secret"), "ci", "coalmine-token")
    given = {"canary": "iris-r2", "stable": "iris-r1", "since": datetime.now(UTC).isoformat()}
    container = pods.tekton(
        run,
        "gate",
        {f"canary.results.{name}": value for name, value in given.items()},
        {"verdict": str(folder / "verdict"), "reason": str(folder / "reason")},
        {"coalmine-token": secret["data"]},
    )
    program, *words = container.argv
    assert program == "coalmine"
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "coalmine", *words],
        env={**kept, **container.env, "COALMINE_STATE": str(folder / "pod")},
        stderr=subprocess.PIPE,
    )


def test_a_person_decides_about_a_canary_on_a_cluster(
    api: KubeApi, launcher: Any, tmp_path: Path
) -> None:
    ci, gate = ({"authorization": f"Bearer {one}"} for one in (CI, GATE))
    # Wherever an event would have the token sent to, the launcher's own word counts.
    asked = launcher.send(launcher.event(launcher_url="http://thief.example"), **ci)
    release = asked.json()["id"]
    launcher.wait_for(lambda: bool(api.store.list(RUN, "ci")[0]))
    (run,) = api.store.list(RUN, "ci")[0]
    assert "thief" not in json.dumps(run)
    assert GATE not in json.dumps(run)
    process = _start_gate(api, run, tmp_path)

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{launcher.url}/releases/{release}", headers=ci).json()
        return found

    try:
        launcher.wait_for(lambda: bool(shown()["held"]) or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()
        path = f"{launcher.url}/releases/{release}/approve"
        assert httpx.post(path, headers=gate).status_code == 403
        assert httpx.post(path, headers=ci).status_code == 200
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "verdict").read_text() == "promote"
    assert (tmp_path / "reason").read_text().startswith("approved by a person")
    tasks = run["spec"]["pipelineSpec"]["tasks"]
    told = {one["name"] for one in tasks if "COALMINE_TOKEN" in json.dumps(one)}
    assert told == {"gate"}
