from __future__ import annotations

import fcntl
import json
import os
import pty
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from coalmine._base.errors import CoalmineError, InputError
from coalmine.cli import cli
from coalmine.cli.watch import news
from coalmine.engines.protocol import TaskStatus
from coalmine.launcher.announce import read_announced
from coalmine.launcher.facts import Facts
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.release import NewRelease, ReleaseState

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
        "engine",
        "state",
        "verdict",
        "reason",
        "image_digest",
        "requested_at",
        "started_at",
        "ended_at",
        "answer",
        "held",
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


LONG = {
    "id": "rabcdefghijklmno",
    "service": "a-service-with-quite-a-long-name",
    "name": "a_bento_with_quite_a_long_name",
    "version": "20260131120000abcdef",
    "state": "rolled_back",
    "verdict": "rollback",
    "reason": "error rate 0.31 is above 0.05\n  fix: " + "mend it " * 20,
    "image_digest": "",
}


@pytest.fixture
def long_state(tmp_path: Path) -> Path:
    ledger = Ledger(ledger_url(tmp_path))
    for number in (1, 2):
        release = NewRelease(
            id=f"{LONG['id'][:-1]}{number}",
            service=f"{LONG['service']}{number}",
            name=LONG["name"],
            version=LONG["version"],
            event_source="/ci",
            event_id=str(number),
            event_type="t",
            binding="b",
            pipeline="release",
            engine="local",
            parameters={},
        )
        ledger.accept([[release]])
        ledger.begin()
        facts = Facts(verdict=LONG["verdict"], reason=LONG["reason"])
        step = TaskStatus("a-step-with-quite-a-long-name", message=LONG["reason"])
        ledger.record(release.id, (step,), facts, ReleaseState.ROLLED_BACK)
    ledger.close()
    return tmp_path


def test_runs_in_a_pipe_have_a_line_each_and_nothing_is_cut(long_state: Path) -> None:
    lines = call("runs", "--state", long_state).output.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines[1:], 1):
        assert line.startswith(f"{LONG['id'][:-1]}{number}  {LONG['service']}{number}  ")
        assert line.endswith(" ".join(LONG["reason"].split()))
        assert line.index("rolled_back") == lines[0].index("state")
    one = call("runs", f"{LONG['id'][:-1]}1", "--state", long_state).output.splitlines()
    assert one[-1].endswith(" ".join(LONG["reason"].split()))
    assert one[-2].startswith("step")


@pytest.mark.parametrize("width", [40, 80])
def test_ids_are_whole_on_a_narrow_terminal(long_state: Path, width: int) -> None:
    try:
        main, worker = pty.openpty()
    except OSError as error:
        pytest.skip(f"there is no terminal to be had here: {error}")
    fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    try:
        subprocess.run(
            [sys.executable, "-m", "coalmine", "runs", "--state", str(long_state)],
            stdout=worker,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NO_COLOR": "1"},
        )
        shown = os.read(main, 1 << 16).decode()
    finally:
        os.close(main)
        os.close(worker)
    assert f"{LONG['id'][:-1]}1" in shown
    assert f"{LONG['id'][:-1]}2" in shown


def test_runs_that_are_not_there(state: Path, tmp_path: Path) -> None:
    assert "no release with the id r9" in str(call("runs", "r9", "--state", state).exception)
    assert "2 releases" in str(call("runs", "ra", "--state", state).exception)
    error = call("runs", "--state", tmp_path / "empty").exception
    assert isinstance(error, InputError)
    assert "--state" in error.fix


@pytest.mark.parametrize("verb", ["cancel", "approve", "reject", "logs", "watch"])
def test_no_id_is_not_the_beginning_of_any(tmp_path: Path, verb: str) -> None:
    with closing(Ledger(ledger_url(tmp_path))) as ledger:
        one = NewRelease("r1", "s", "n", "", "/ci", "1", "t", "b", "p", "local", {})
        ledger.accept([[one]])
    error = call(verb, "", "--state", tmp_path).exception
    assert isinstance(error, InputError)
    assert "the release's id is empty" in str(error)


def test_a_state_of_releases_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = call("runs", "--state", "dead").exception
    assert isinstance(error, InputError)
    assert "coalmine runs --release-state dead" in error.fix


def test_watch_tells_the_end_by_its_exit_code(state: Path) -> None:
    good = call("watch", "raaa", "--state", state)
    assert good.exit_code == 0
    assert "promoted" in good.output
    bad = call("watch", "rabb", "--state", state)
    assert bad.exit_code == 1
    assert "error rate 0.31" in bad.output
    assert json.loads(call("watch", "raaa", "--state", state, "-o", "json").output)["id"] == "raaa"


def test_news_are_told_once() -> None:
    names = {"id": "r1", "name": "iris", "version": "", "service": "iris", "reason": ""}
    release: dict[str, Any] = {**names, "held": None}
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
    held = running | {"held": {"since": "2026-01-01T00:00:00Z", "reason": "too few"}}
    way = "coalmine approve r1, or reject"
    assert news(running, held) == [f"release r1 of iris:latest to iris: held (too few; {way})"]
    assert news(held, held) == []
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
    assert "cancelled (cancelled on request)" in watched.output
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
        (["--pipelines", "."], "no compiled pipeline release"),
    ],
)
def test_a_launcher_that_cannot_start(
    coalmine: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    options: list[str],
    says: str,
) -> None:
    ended = coalmine("launcher", "--port", "0", "--state", "s", *options, cwd=tmp_path)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "fix:" in ended.stderr
    assert not (tmp_path / "s").exists()


def test_a_ledger_that_is_being_made_has_no_releases_yet(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("create table other (id text)")
    connection.close()
    shown = subprocess.run(
        [sys.executable, "-m", "coalmine", "runs", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 2
    assert "there are no releases" in shown.stderr
    assert "ask again" in shown.stderr


def test_status_of_a_launcher_without_a_stack(state: Path, tmp_path: Path) -> None:
    shown = call("status", "--state", state)
    assert "1 accepted, 1 promoted, 1 rolled_back" in shown.output
    nothing = tmp_path / "nothing.db"
    assert "there are no releases" in str(
        call("status", "--database", f"sqlite:///{nothing}").exception
    )
    assert not nothing.exists()


def test_gc_removes_old_releases_and_what_their_runs_wrote(state: Path) -> None:
    for release_id in ("raaa", "rabb"):
        (state / "runs" / release_id).mkdir(parents=True)
        (state / "releases" / release_id).mkdir(parents=True)
    with closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE release SET ended_at = '2026-01-01T00:00:00.000000Z'")
        ledger.execute("UPDATE release SET ended_at = NULL WHERE state = 'accepted'")
    old: list[str | Path] = ["gc", "--state", state, "--history-days", "30", "-o", "json"]
    assert json.loads(call("gc", "--state", state, "-o", "json").output)["releases"] == []
    assert json.loads(call(*old, "--dry-run").output)["releases"] == ["rabb"]
    assert json.loads(call(*old).output)["releases"] == ["rabb"]
    left = json.loads(call("runs", "--state", state, "-o", "json").output)
    assert [one["id"] for one in left] == ["raaa", "rccc"]
    assert [folder.name for folder in (state / "runs").iterdir()] == ["raaa"]
    assert [folder.name for folder in (state / "releases").iterdir()] == ["raaa"]
    assert call("gc", "--state", state, "--history-days", "0").exit_code == 2


def test_gc_forgets_runs_beside_a_launcher_that_works(live: Path) -> None:
    for name in ("gc1", "gc2"):
        done = call("release", "iris", "--service", "gc", "--id", name, "--watch", "--state", live)
        assert done.exit_code == 0, done.output
    with closing(sqlite3.connect(live / "ledger.db")) as ledger, ledger:
        change = "UPDATE release SET ended_at = ? WHERE service = 'gc'"
        ledger.execute(change, ["2026-01-01T00:00:00.000000Z"])
    words: list[str | Path] = ["gc", "--state", live, "--history-days", "30"]
    said = "1 releases and 1 runs of the local engine"
    assert f"{said} would be removed" in call(*words, "--dry-run").output
    assert f"{said} removed" in call(*words).output
    assert json.loads(call(*words, "-o", "json").output)["runs"] == 0
    again = call("release", "iris", "--service", "gc", "--id", "gc3", "--watch", "--state", live)
    assert again.exit_code == 0, again.output


def test_gc_keeps_what_a_release_in_progress_may_need(state: Path) -> None:
    """The release was asked for 20 days ago; a context of 10 days may be its own."""
    ago = {name: time.time() - days * 86400 for name, days in (("a", 10), ("b", 30))}
    for name, moment in ago.items():
        (state / "contexts" / (name * 64)).mkdir(parents=True)
        os.utime(state / "contexts" / (name * 64), (moment, moment))
    asked = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    with closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE release SET requested_at = ? WHERE id = 'rccc'", [asked])
    removed = json.loads(call("gc", "--state", state, "-o", "json").output)["removed"]
    assert [Path(one["context"]).name for one in removed] == ["b" * 64]
