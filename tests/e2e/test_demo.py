"""The demo as its users run it: to its end, and interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from coalmine._base.errors import CoalmineError
from coalmine.launcher.read import read_releases
from coalmine.stack.stack import Stack
from coalmine.stack.sweep import STACK_MARK
from coalmine.stack.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(600)]

COALMINE = (sys.executable, "-m", "coalmine")
STATES = ["promoted", "promoted", "rolled_back"]
STEPS = ["retrieve", "build", "canary", "gate", "promote", "rollback", "finalize"]
EXTERNAL = re.compile(r"""<script|(?:src|href)\s*=|url\s*\(|@import|srcset""", re.IGNORECASE)
NAMESPACES = re.compile(r'xmlns(:\w+)?="[^"]*"')


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a state folder; the demos of this module share its trained models."""
    state = tmp_path_factory.mktemp("demo") / "state"
    yield state
    if state.exists():
        Stack(state).stop()


def living(state: Path) -> list[str]:
    """List what runs and was started for a stack."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(STACK_MARK) == str(state):
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:  # another user's, or gone by now
            continue
    return found


def trains(state: Path) -> bool:
    return (state / "bentoml" / "models").exists()


def starts(state: Path) -> bool:
    return bool(living(state))


def brings_a_canary(state: Path) -> bool:
    try:
        releases: list[Any] = read_releases(state)
    except CoalmineError:  # the launcher has not made its ledger yet
        return False
    steps = [step for release in releases for step in release["steps"]]
    return any(step["name"] == "canary" and step["state"] == "running" for step in steps)


@pytest.mark.parametrize("moment", [trains, starts, brings_a_canary])
def test_ctrl_c_while_it(state: Path, moment: Callable[[Path], bool]) -> None:
    demo = subprocess.Popen(
        [*COALMINE, "demo", "--state", str(state)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a foreground group of its own, as a terminal makes one
    )
    try:
        assert wait_for(lambda: moment(state), seconds=150, every=0.01), demo.poll()
        children = psutil.Process(demo.pid).children(recursive=True)
        os.killpg(demo.pid, signal.SIGINT)
        _, said = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 130, said
    assert living(state) == []
    assert children
    _, alive = psutil.wait_procs(children, timeout=30)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    assert "Traceback" not in said


def test_three_releases(state: Path) -> None:
    done = subprocess.run(
        # Half of the usual load: what is measured is the demo, beside whatever else is tested.
        [*COALMINE, "demo", "--state", str(state), "--rate", "30", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert living(state) == []
    told = json.loads(done.stdout)
    assert [one["state"] for one in told["releases"]] == STATES
    assert (told["problems"], told["failed_not_by_the_bad_model"]) == ([], 0)
    bad = told["releases"][2]["revision"]
    failed = {(one["revision"], one["status"]) for one in told["requests"] if one["status"] != 200}
    assert failed == {(bad, 500)}
    _check_runs(state, told)
    for release in told["releases"]:
        _check_report(Path(release["report"]), release)


def _check_runs(state: Path, told: Any) -> None:
    listed = subprocess.run(
        [*COALMINE, "runs", "--state", str(state), "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    runs = json.loads(listed.stdout)
    assert [one["id"] for one in runs] == [one["release_id"] for one in told["releases"]]
    assert [one["state"] for one in runs] == STATES
    assert [one["version"] for one in runs] == ["v1", "v2", "v3"]
    assert [one["verdict"] for one in runs] == ["promote", "promote", "rollback"]
    assert {one["service"] for one in runs} == {"iris_classifier"}
    digests = [one["image_digest"] for one in runs]
    assert len(set(digests)) == 3
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in digests)
    for one in runs:
        assert one["reason"]
        assert [step["name"] for step in one["steps"]] == STEPS
        left_out = "promote" if one["state"] == "rolled_back" else "rollback"
        for step in one["steps"]:
            ran = step["name"] != left_out
            assert step["state"] == ("succeeded" if ran else "skipped")
            assert bool(step["started_at"] and step["ended_at"]) is ran
            assert not ran or step["started_at"] <= step["ended_at"]


def _check_report(report: Path, release: Any) -> None:
    page = report.read_text()
    assert len(page.encode()) < 1_000_000
    assert not EXTERNAL.search(page)
    assert "://" not in NAMESPACES.sub("", page).replace("file://", "")
    for heading in ("Steps", "Traffic by version", "Errors by version", "Latency by version"):
        assert f">{heading}" in page
    assert page.count("<svg") >= 3 + 3, "a chart for each of three metrics and three checks"
    assert "no data" not in page
    for name, _ in release["steps"]:
        assert f"<span>{name}</span>" in page
    for check in ("error_rate", "latency_p95", "proxy_restarts"):
        assert f"<h3>{check}" in page
