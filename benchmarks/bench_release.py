"""From the event to a canary with traffic, split by step, beside the bare start of a server."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from measure import print_head

from coalmine.demo.bentos import DEMO_NAME, build_demo_bentos
from coalmine.events.event import new_event
from coalmine.events.send import send_event
from coalmine.launcher.read import read_release
from coalmine.stack.stack import LauncherSettings, Stack
from coalmine.stores.local import LocalStore

ROUNDS = 3
STEPS = ("retrieve", "build", "canary")
POLICY = """\
apiVersion: coalmine.dev/v1
kind: GatePolicy
metadata: {name: bench}
spec:
  window: 1s
  step: 1s
  timeout: 2s
  min_requests: 1000
  coverage: 1.0
  no_data: wait
  checks: [{name: error_rate, preset: error_rate, max: 0.05}]
"""


def main() -> None:
    state = Path(".coalmine/bench/release").absolute()
    shutil.rmtree(state, ignore_errors=True)
    home = Path(".coalmine/bench/bentoml").absolute()
    build_demo_bentos(home)
    policy = state / "policy.yaml"
    policy.parent.mkdir(parents=True)
    policy.write_text(POLICY)
    stack = Stack(state)
    taken: list[dict[str, float]] = []
    try:
        launcher = LauncherSettings(policy=str(policy), store=str(home))
        endpoints = stack.start(launcher=launcher, bound=True)
        for number in range(ROUNDS + 1):
            row = {"bare server start": _bare_start(home)} | _release(state, endpoints.launcher)
            if number:
                taken.append(row)
    finally:
        stack.stop()
    _print(taken)


def _release(state: Path, launcher: str) -> dict[str, float]:
    """Ask for a release, wait for its end, and read off how long what took."""
    data = {"name": DEMO_NAME, "version": "v1"}
    asked = time.time()
    answer = send_event(launcher, new_event(data=data, source="/coalmine/bench"))
    accepted = time.time() - asked
    release = _ended(state, answer.id)
    assert release["state"] == "rolled_back", release
    steps = {step["name"]: step for step in release["steps"]}
    seconds = {
        name: _at(steps[name], "ended_at") - _at(steps[name], "started_at") for name in STEPS
    }
    total = _at(steps["canary"], "ended_at") - asked
    rest = total - accepted - sum(seconds.values())
    return {
        "event accepted (202)": accepted,
        **seconds,
        "between the steps": rest,
        "event to canary, all": total,
    }


def _ended(state: Path, release_id: str) -> Mapping[str, Any]:
    while True:
        release: Mapping[str, Any] = read_release(state, release_id)
        if release["ended_at"] is not None:
            return release
        time.sleep(0.1)


def _at(step: Mapping[str, Any], key: str) -> float:
    return datetime.fromisoformat(step[key]).timestamp()


def _bare_start(home: Path) -> float:
    """Start the same server by hand, from an exported bento, until it is ready."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        context = Path(folder) / "bento"
        LocalStore(home).find(DEMO_NAME, "v1").fetch(context)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = os.environ | {
            "BENTOML_HOME": f"{folder}/home",
            "BENTOML_DO_NOT_TRACK": "true",
        }
        (Path(folder) / "home").mkdir()
        serve = [sys.executable, "-m", "bentoml", "serve", str(context), "--host", "127.0.0.1"]
        began = time.perf_counter()
        server = subprocess.Popen(
            [*serve, "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not _ready(port):
                assert server.poll() is None, "the server ended"
                time.sleep(0.02)
            return time.perf_counter() - began
        finally:
            server.terminate()
            server.wait()


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _print(taken: list[dict[str, float]]) -> None:
    print_head(f"From event to canary, first release, median of {ROUNDS}")
    floor = statistics.median(row["bare server start"] for row in taken)
    for name in taken[0]:
        seconds = [row[name] for row in taken]
        median = statistics.median(seconds)
        print(
            f"  {name:24} {median:7.2f} s   x{median / floor:5.2f} of the bare server start   "
            f"range {min(seconds):.2f}..{max(seconds):.2f} s"
        )


if __name__ == "__main__":
    main()
