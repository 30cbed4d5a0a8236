"""One real stack a worker, its bentos, and what the tests do with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml

from coalmine.demo.load import Load
from coalmine.engines.local.journal import read_page
from coalmine.events.event import new_event
from coalmine.events.send import Answer, send_event
from coalmine.launcher.read import read_release, read_releases
from coalmine.serving.local import LocalServing
from coalmine.serving.protocol import Observation
from coalmine.stack.layout import Endpoints
from coalmine.stack.stack import LauncherSettings, Stack
from coalmine.stack.sweep import marked
from coalmine.stack.waiting import wait_for

T = TypeVar("T")
PROBE = Path(__file__).parent / "probe"
OPEN = {"accepted", "running"}
WORDS = tuple({"word": word} for word in "abcd")
PERCENT = 20
POLICY: dict[str, Any] = {
    "apiVersion": "coalmine.dev/v1",
    "kind": "GatePolicy",
    "metadata": {"name": "short"},
    "spec": {
        "window": "4s",
        "step": "1s",
        "timeout": "90s",
        "min_requests": 5,
        "coverage": 0.7,
        "no_data": "wait",
        "checks": [
            {
                "name": "error_rate",
                "preset": "error_rate",
                "max": 0.05,
                "over": "4s",
                "fail_after": {"consecutive": 2},
            },
            {"name": "proxy_restarts", "preset": "proxy_restarts", "max": 0, "over": "4s"},
        ],
    },
}
BINDINGS = """
bindings:
  - name: progressive
    types: [dev.coalmine.progressive.requested.v1]
    pipeline: progressive
    parameters:
      - {name: name, value: probe}
      - {name: service, value: $(body.service)}
      - {name: version, value: $(body.version)}
      - {name: percent, value: "20"}
      - {name: second_percent, value: "40"}
      - {name: third_percent, value: "60"}
      - {name: policy, value: $(body.policy)}
  - name: release
    types: [dev.coalmine.release.requested.v1]
    pipeline: release
    parameters:
      - {name: name, value: $(body.name)}
      - {name: service, value: $(body.service)}
      - {name: version, value: $(body.version)}
      - {name: percent, value: $(body.percent)}
      - {name: policy, value: $(body.policy)}
"""


@dataclass(frozen=True)
class Site:
    """A running stack, seen as its owner sees it."""

    stack: Stack
    endpoints: Endpoints
    policy: Path

    @property
    def state(self) -> Path:
        return self.stack.layout.state

    def ask(
        self, version: str, *, service: str, event_id: str = "", policy: Path | None = None
    ) -> Answer:
        data = {
            "name": "probe",
            "version": version,
            "service": service,
            "percent": str(PERCENT),
            "policy": str(policy or self.policy),
        }
        event = new_event(data=data, source="/tests/e2e", id=event_id)
        return send_event(self.endpoints.launcher, event)

    def read(self, release_id: str) -> Any:
        return read_release(self.state, release_id)

    def releases(self) -> list[Any]:
        return read_releases(self.state)

    def ended(self, release_id: str, *, seconds: float = 200) -> Any:
        until(lambda: self.read(release_id)["state"] not in OPEN, "the release's end", seconds)
        return self.read(release_id)

    def release(self, version: str, *, service: str, policy: Path | None = None) -> Any:
        return self.ended(self.ask(version, service=service, policy=policy).id)

    def steady(self, service: str) -> str:
        """See that a service has a stable version and nothing else; gives its revision."""
        for one in self.releases():
            self.ended(one["id"])
        if not self.split(service):
            with self.users(service):
                release = self.release("good", service=service)
            assert release["state"] == "promoted", release
        [(revision, percent)] = self.split(service).items()
        assert percent == 100
        return revision

    def users(self, service: str) -> Load:
        return Load(f"{self.endpoints.proxy}/{service}/answer", WORDS, rate=60, users=8)

    def observe(self, service: str) -> Observation:
        return LocalServing.of(self.state).observe(service)

    def split(self, service: str) -> dict[str, int]:
        return {share.revision: share.percent for share in self.observe(service).shares}

    def journal(self, release_id: str, step: str) -> str:
        """Give a step's state as the engine has it; the ledger learns it a little later."""
        page = read_page(self.state / "runs" / release_id / "journal.json")
        tasks = page.run.tasks if page else ()
        return next((str(task.state) for task in tasks if task.name == step), "")

    def catch(self, release_id: str, step: str, *, seconds: float = 150) -> None:
        """Wait until a step has begun; it may have ended by now."""
        begun = {"", "pending"}
        until(
            lambda: self.journal(release_id, step) not in begun, f"{step} under way", seconds, 0.005
        )

    def gate(self, release_id: str) -> Any:
        """Give what the gate has seen so far."""
        path = self.stack.layout.releases / release_id / "gate.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def phases(self, release_id: str) -> list[str]:
        """List every phase that a step of the release moved the service to, in order of time."""
        logs = (self.state / "runs" / release_id).glob("*.log")
        lines = sorted(json.loads(line)["time"] + line for log in logs for line in _lines(log))
        entries = [json.loads(line[line.index("{") :]) for line in lines]
        return [entry["phase"] for entry in entries if entry.get("release") == release_id]

    def pid(self, program: str) -> int:
        return next(one.pid for one in self.stack.programs() if one.name == program)

    def kill(self, program: str) -> None:
        """End a program and all that belongs to it, the hard way."""
        os.kill(self.pid(program), signal.SIGKILL)
        for process in marked(self.state, program):
            process.kill()

    def kill_launcher(self, release_id: str, step: str) -> bool:
        """End the launcher the hard way in the middle of a step; the supervisor starts it again.

        It is frozen first: so what its journal says is what it leaves, however busy the machine.

        Returns:
            False if a short step was over before; then nothing was killed.
        """
        launcher = psutil.Process(self.pid("launcher"))
        self.catch(release_id, step)
        launcher.suspend()
        until(lambda: launcher.status() == psutil.STATUS_STOPPED, "halt", 60, 0.005)
        if self.journal(release_id, step) != "running":
            launcher.resume()
            return False
        launcher.kill()
        until(lambda: self.pid("launcher") not in {0, launcher.pid}, "another launcher", 60)
        return True

    def with_policy(self, folder: Path, **spec: object) -> Path:
        """Write the short policy with some fields of its spec changed."""
        return _policy(folder / "policy.yaml", {**POLICY["spec"], **spec})

    def with_patience(self, folder: Path, **spec: object) -> Path:
        """Write a policy by which the gate looks for so long that it sees what a test breaks.

        A roll-back comes early, so the long window takes no time.
        """
        return self.with_policy(folder, window="60s", timeout="120s", **spec)


def until(look: Callable[[], T], what: str, seconds: float, every: float = 0.05) -> T:
    seen = wait_for(look, seconds=seconds, every=every)
    assert seen, f"no {what} within {seconds:g} s"
    return seen


def left_of(state: Path) -> list[psutil.Process]:
    """List the processes of a stack that live."""
    return marked(state)


def _lines(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("{")]


def _policy(path: Path, spec: Mapping[str, object]) -> Path:
    path.write_text(yaml.safe_dump({**POLICY, "spec": dict(spec)}, sort_keys=False))
    return path


def _build_bentos(home: Path, source: Path) -> None:
    source.mkdir()
    shutil.copy(PROBE / "service.py", source)
    environ = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    home.mkdir(parents=True)
    subprocess.run(
        [sys.executable, str(PROBE / "build.py"), str(source)],
        env=environ,
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Have a stack with the launcher, and bentos in its store."""
    folder = tmp_path_factory.mktemp("site")
    stack = Stack(folder / "state")
    _build_bentos(stack.layout.bento_home, folder / "source")
    bindings = folder / "bindings.yaml"
    bindings.write_text(BINDINGS)
    policy = _policy(folder / "short.yaml", POLICY["spec"])
    try:
        endpoints = stack.start(launcher=LauncherSettings(bindings=bindings))
        yield Site(stack, endpoints, policy)
    finally:
        stack.stop()
        assert left_of(stack.layout.state) == []
