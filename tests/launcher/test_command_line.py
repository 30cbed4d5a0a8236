"""The commands about releases, where the ledger is a database and the launcher is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from event_sink import EventSink

from coalmine.cli import cli
from tests.launcher.bench import Bench, new
from tests.launcher.postgres import Postgres

WAITING = """
import pathlib, time
print('looking')
while not pathlib.Path({gate!r}).exists(): time.sleep(0.02)
"""
END = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text('rolled_back')"


def call(*words: object) -> Any:
    """Run a command as a person does; gives what it printed, or its error, as JSON."""
    result = CliRunner().invoke(cli, [*map(str, words), "-o", "json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.output)


@pytest.mark.integration
def test_all_of_them_by_database_and_by_launcher(
    launched: Callable[..., Any],
    postgres: Postgres,
    sink: EventSink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = tmp_path / "go"
    sink.answer = lambda _: (500, {})
    monkeypatch.setenv("HARNESS_DATABASE", postgres.url)
    monkeypatch.setenv("K_SINK", sink.url)
    launcher = launched(
        {
            "tasks": [{"name": "gate", "code": WAITING.format(gate=str(gate))}],
            "exit": {"name": "finalize", "code": END, "output": "outcome"},
        }
    )
    first = launcher.post(id="1", name="iris").json()["id"]
    second = launcher.post(id="2", name="iris").json()["id"]
    by_database = ["--database", postgres.url, "--state", tmp_path / "nothing"]
    by_launcher = ["--launcher", launcher.url, "--state", tmp_path / "nothing"]
    launcher.wait_for(lambda: call("runs", first, *by_launcher)["state"] == "running")
    for way in (by_database, by_launcher):
        assert [one["id"] for one in call("runs", *way)] == [first, second]
        status = call("status", *way)
        assert (status["releases"]["running"], status["releases"]["accepted"]) == (1, 1)
        [about] = status["sinks"]
        assert (about["sink"], about["waiting"], about["put_aside"]) == (sink.url, 3, 0)
        assert about["oldest_seconds"] > 0.0
        assert call("approve", first, *way)["id"] == first
        assert "another answer" in call("reject", first, *way)["error"]
    assert call("runs", first[:8], *by_database)["id"] == first
    assert call("cancel", second[:8], *by_database)["state"] == "cancelled"
    gate.touch()
    assert call("watch", first[:8], *by_database)["state"] == "rolled_back"
    for way in (by_database, by_launcher):
        assert call("logs", first, *way) == {"step": "gate", "text": "looking"}
    again = call("retry", first[:8], *by_database)
    assert call("retry", first, *by_launcher)["id"] == again["id"]
    assert call("watch", again["id"], *by_launcher)["state"] == "rolled_back"
    launcher.stop()
    assert len(call("runs", *by_database)) == 3, "no launcher need be running"
    assert "no URL of a database" in call("runs", "--database", "mysql://h/d")["error"]


def test_what_was_put_aside_is_put_back(bench: Bench, sink: EventSink, tmp_path: Path) -> None:
    url = bench.ledger.database._engine.url.render_as_string(hide_password=False)
    way = ["--database", url.replace("+psycopg", "")]
    bench.ledger.accept([[new("r1")]])
    sink.answer = lambda _: (500, {})
    bench.date += timedelta(days=4)
    bench.sender.round()
    [about] = call("status", *way)["sinks"]
    assert (about["waiting"], about["put_aside"]) == (0, 1)
    shown = CliRunner().invoke(cli, ["status", *way]).output
    assert "1 accepted" in shown
    assert "PUT ASIDE" in shown
    assert call("retry", "--sink", sink.url, *way)["put_back"] == 1
    assert call("status", *way)["sinks"][0]["waiting"] == 1
    assert "nothing was put aside" in call("retry", "--sink", sink.url, *way)["error"]
    assert CliRunner().invoke(cli, ["retry", "r1", "--sink", "x"]).exit_code == 2
    assert CliRunner().invoke(cli, ["retry"]).exit_code == 2
