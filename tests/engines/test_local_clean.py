"""What the local engine's record loses, while the engine works."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.compiler.task import Task
from coalmine.engines.local.clean import clean_runs
from coalmine.engines.protocol import RunState

MakeTask = Callable[..., Task]


def tables_that_name(database: Path, run_id: str) -> set[str]:
    """The tables of the record in which a run's id stands anywhere."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            table
            for table in tables
            for row in connection.execute(f'SELECT * FROM "{table}"')
            if any(run_id in str(value) for value in row)
        }


def test_ended_runs_go_and_what_goes_on_stays(bench: Any, task: MakeTask, tmp_path: Path) -> None:
    ended, goes_on = (f"r{uuid.uuid4().hex[:12]}" for _ in range(2))
    bench.use(task("quick", "pass"))
    bench.submit(ended)
    bench.wait(ended)
    go = tmp_path / "go"
    wait = f"[time.sleep(0.02) for _ in iter(pathlib.Path({str(go)!r}).exists, True)]"
    bench.use(task("waits", wait))
    bench.submit(goes_on)
    bench.wait(goes_on, lambda status: status.tasks[0].attempts == 1)
    database = bench.state / "engine.db"
    assert "workflow_status" in tables_that_name(database, ended)
    both = [ended, goes_on, "never-heard-of", *(f"r{number}" for number in range(300))]
    assert clean_runs(bench.state, both, dry_run=True) >= 1
    assert "workflow_status" in tables_that_name(database, ended)
    assert clean_runs(bench.state, [ended, goes_on, "never-heard-of"], dry_run=False) == 1
    assert tables_that_name(database, ended) == set()
    assert bench.engine.status(ended) is None
    go.touch()
    assert bench.wait(goes_on).state is RunState.SUCCEEDED
    bench.use(task("quick", "pass"))
    bench.submit(ended)
    assert bench.wait(ended).state is RunState.SUCCEEDED, "the same id is a new run"


def test_where_there_is_no_record(tmp_path: Path) -> None:
    assert clean_runs(tmp_path, ["r1"], dry_run=False) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    (tmp_path / "engine.db").write_bytes(b"no database " * 100)
    with pytest.raises(CoalmineError, match=r"engine's database .*engine\.db cannot be used"):
        clean_runs(tmp_path, ["r1"], dry_run=False)
