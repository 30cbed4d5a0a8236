from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.cli.watch import news
from coalmine.launcher.announce import read_announced

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "dev.coalmine.release.requested.v1",
    "data": {"name": "iris"},
}


def call(*args: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin, catch_exceptions=True)


def test_runs_as_json(state: Path) -> None:
    entries = json.loads(call("runs", "--state", state, "-o", "json").output)
    assert [entry["state"] for entry in entries] == ["promoted", "rolled_back", "accepted"]
    assert set(entries[0]) == {
        "id",
        "service",
        "name",
        "version",
        "state",
        "verdict",
        "reason",
        "image_digest",
        "requested_at",
        "started_at",
        "ended_at",
        "event",
        "steps",
    }
    assert set(entries[0]["steps"][0]) == {
        "name",
        "state",
        "attempts",
        "started_at",
        "ended_at",
        "outputs",
        "message",
    }
    assert entries[0]["steps"][0]["started_at"] == "2026-01-01T00:00:00.000000Z"
    assert entries[0]["event"] == {"source": "/ci", "id": "raaa", "type": "t"}
    one = json.loads(call("runs", "raa", "--state", state, "-o", "json").output)
    assert one == entries[0]


def test_runs_for_people(state: Path) -> None:
    table = call("runs", "--state", state).output
    assert "rolled_back" in table
    assert "rccc" in table
    only = call("runs", "--state", state, "--release-state", "accepted").output
    assert "rccc" in only
    assert "raaa" not in only
    one = call("runs", "raaa", "--state", state).output
    assert "gate" in one
    assert "[red]x" in one
    assert "no releases" in call("runs", "--state", state, "--release-state", "failed").output


def test_runs_that_are_not_there(state: Path, tmp_path: Path) -> None:
    assert "no release with the id r9" in str(call("runs", "r9", "--state", state).exception)
    assert "2 releases" in str(call("runs", "ra", "--state", state).exception)
    error = call("runs", "--state", tmp_path / "empty").exception
    assert isinstance(error, InputError)
    assert "--state" in error.fix


def test_watch_tells_the_end_by_its_exit_code(state: Path) -> None:
    good = call("watch", "raaa", "--state", state)
    assert good.exit_code == 0
    assert "promoted" in good.output
    bad = call("watch", "rabb", "--state", state)
    assert bad.exit_code == 1
    assert "error rate 0.31" in bad.output
    assert json.loads(call("watch", "raaa", "--state", state, "-o", "json").output)["id"] == "raaa"


def test_news_are_told_once() -> None:
    release = {"id": "r1", "name": "iris", "version": "", "service": "iris", "reason": ""}
    step = {"name": "gate", "attempts": 1, "started_at": None, "ended_at": None, "message": ""}
    accepted = {**release, "state": "accepted", "steps": []}
    running = {**release, "state": "running", "steps": [{**step, "state": "running"}]}
    ended = {**release, "state": "promoted", "steps": [{**step, "state": "succeeded"}]}
    assert news(None, accepted) == ["release r1 of iris:latest to iris: accepted"]
    assert news(accepted, accepted) == []
    assert news(accepted, running) == [
        "release r1 of iris:latest to iris: running",
        "  gate: running",
    ]
    assert news(running, running) == []
    assert news(running, ended) == [
        "  gate: succeeded",
        "release r1 of iris:latest to iris: promoted",
    ]


@pytest.mark.integration
@pytest.mark.parametrize("mode", [[], ["--binary"]])
def test_send(live: Path, tmp_path: Path, mode: list[str]) -> None:
    event = json.dumps(EVENT | {"id": f"send{mode}"})
    path = tmp_path / "event.json"
    path.write_text(event)
    first = call("send", path, "--state", live, "-o", "json", *mode)
    answer = json.loads(first.output)
    assert answer["status"] == 202
    again = call("send", "-", "--url", read_announced(live), *mode, stdin=event)
    assert f"release {answer['id']} known already" in again.output


def test_send_refuses_before_it_sends(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text("{}")
    error = call("send", path, "--state", tmp_path).exception
    assert isinstance(error, InputError)
    assert "specversion" in str(error)
    path.write_text(json.dumps(EVENT))
    error = call("send", path, "--state", tmp_path).exception
    assert isinstance(error, CoalmineError)
    assert "coalmine up" in error.fix


@pytest.mark.integration
def test_release_and_watch(live: Path) -> None:
    asked = call(
        "release", "iris:v1", "--service", "s1", "--percent", "20", "--watch", "--state", live
    )
    assert asked.exit_code == 0, asked.output
    assert "of iris:v1 to s1: promoted" in asked.output
    assert "gate: succeeded" in asked.output
    ids = {
        json.loads(call("release", "iris", "--id", "x", "--state", live, "-o", "json").output)["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
    refused = call("release", "Iris", "--state", live).exception
    assert isinstance(refused, InputError)
    assert "'Iris' is no legal name" in str(refused)
    done = json.loads(
        call("release", "iris", "--id", "j", "--watch", "--state", live, "-o", "json").output
    )
    assert done["state"] == "promoted"


@pytest.mark.integration
def test_cancel(live: Path) -> None:
    """What a service waits for is cancelled at once; what has ended is refused."""
    asked = call("release", "slow", "--id", "c1", "--state", live, "-o", "json")
    first = json.loads(asked.output)["id"]
    asked = call("release", "slow", "--id", "c2", "--state", live, "-o", "json")
    second = json.loads(asked.output)["id"]
    assert call("cancel", second, "--state", live).output == f"release {second} is cancelled\n"
    running = call("cancel", first, "--state", live)
    assert running.output.startswith(f"release {first} is being cancelled")
    watched = call("watch", first, "--state", live)
    assert watched.exit_code == 1
    assert "cancelled (the run was cancelled)" in watched.output
    done = call("release", "iris", "--id", "c3", "--watch", "--state", live, "-o", "json")
    refused = call("cancel", json.loads(done.output)["id"], "--state", live).exception
    assert isinstance(refused, InputError)
    assert "refused the cancellation" in str(refused)
    assert "has ended already: promoted" in str(refused)
    assert "no release" in str(call("cancel", "r9", "--state", live).exception)
    by_url = call("cancel", "r9", "--launcher", read_announced(live)).exception
    assert "there is no release r9" in str(by_url)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "beyond loopback"),
        (["--host", "example.org"], "beyond loopback"),
        (["--port", "99999"], "99999"),
        (["--pipelines", "."], "no compiled pipeline release"),
    ],
)
def test_a_launcher_that_cannot_start(tmp_path: Path, options: list[str], says: str) -> None:
    pytest.importorskip("coalmine.compiler.ir", reason="the compiler is not here yet")
    ended = subprocess.run(
        [sys.executable, "-m", "coalmine", "launcher", "--port", "0", "--state", "s", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "fix:" in ended.stderr
    assert not (tmp_path / "s").exists()
