"""Engines and ledgers that fail, and the releases that must not suffer by it."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.read import read_release
from coalmine.launcher.settling import KEPT_SECONDS
from tests.launcher.pretend import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


def test_an_engine_that_fails_is_asked_again_later(bench: Bench) -> None:
    bench.accept("r1")
    bench.engine.error = CoalmineError("no disk")
    bench.dispatcher.tick()
    assert bench.states() == {"r1": "running"}
    assert "no disk" in str(read_release(bench.state, "r1")["reason"])
    bench.engine.error = None
    bench.dispatcher.tick()
    assert not bench.engine.submitted
    bench.now = 0.6
    bench.dispatcher.tick()
    assert len(bench.engine.submitted) == 1
    assert read_release(bench.state, "r1")["reason"] == ""


def test_a_release_that_breaks_does_not_hold_up_the_others(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.accept("r1")
    bench.accept("r2", "other")
    bench.engine.broken.add("r1")
    bench.dispatcher.tick()
    assert "KeyError('state')" in str(read_release(bench.state, "r1")["reason"])
    assert "release r1 broke" in caplog.text
    caplog.clear()
    bench.dispatcher.tick()
    assert "broke" not in caplog.text
    bench.engine.broken.clear()
    bench.now = 0.6
    bench.dispatcher.tick()
    assert sorted(one.run_id for one in bench.engine.submitted) == ["r1", "r2"]
    assert read_release(bench.state, "r1")["reason"] == ""


def test_what_cannot_be_written_does_not_hold_up_the_others(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        bench.accept(f"r{number}", f"s{number}")
    bench.dispatcher.tick()
    for number in range(4):
        bench.engine.say(f"r{number}", RunState.SUCCEEDED, outcome="promoted")
    [task] = bench.engine.runs["r1"].tasks
    no_number = replace(bench.engine.runs["r1"], tasks=(replace(task, attempts=1 << 70),))
    bench.engine.runs["r1"] = no_number
    bench.dispatcher.tick()
    assert bench.states() == {"r0": "promoted", "r1": "running", "r2": "promoted", "r3": "promoted"}
    assert "too large" in str(read_release(bench.state, "r1")["reason"])
    assert "release r1 waits 0.5 s" in caplog.text
    bench.engine.say("r1", RunState.SUCCEEDED, outcome="promoted")
    bench.tick_at(0.6)
    assert bench.states()["r1"] == "promoted"


def test_a_ledger_that_is_locked_ends_the_round_and_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coalmine.launcher.database.BUSY_MILLISECONDS", 1)
    bench.ledger = Ledger(ledger_url(bench.state))
    bench.dispatcher = bench.make()
    for number in range(4):
        bench.accept(f"r{number}", f"s{number}")
    bench.dispatcher.tick()
    for number in range(4):
        bench.engine.say(f"r{number}", RunState.SUCCEEDED, outcome="promoted")
    with contextlib.closing(sqlite3.connect(bench.state / "ledger.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CoalmineError, match="locked"):
            bench.dispatcher.tick()
    bench.tick_at(1)
    assert set(bench.states().values()) == {"promoted"}


def test_a_round_that_the_ledger_breaks_leaves_no_hand_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        bench.accept(f"r{number}", f"s{number}")
    bench.dispatcher.tick()
    bench.engine.say("r0", RunState.RUNNING)
    bench.engine.say("r2", RunState.RUNNING)
    ticks = itertools.count(0, KEPT_SECONDS * 0.8)  # so the second change is written with the first
    bench.dispatcher = bench.make(monotonic=lambda: next(ticks))
    failed, over = threading.Event(), threading.Event()
    alone: list[bool] = []

    def fail(*_: object) -> None:
        failed.set()
        raise CoalmineError("no ledger")

    def status(run_id: str) -> RunStatus | None:
        if run_id == "r1":
            assert failed.wait(10)
            alone.append(not over.wait(0.2))
        return bench.engine.runs[run_id]

    monkeypatch.setattr(bench.ledger, "settle", fail)
    monkeypatch.setattr(bench.engine, "status", status)
    with pytest.raises(CoalmineError, match="no ledger"):
        bench.dispatcher.tick()
    over.set()
    assert alone == [True]


def test_the_thread_outlives_a_round_that_breaks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    broke = threading.Semaphore(0)

    def fail() -> None:
        broke.release()
        raise RuntimeError

    monkeypatch.setattr(bench.ledger, "running", fail)
    bench.dispatcher.start()
    assert broke.acquire(timeout=10)
    bench.dispatcher.wake()
    assert broke.acquire(timeout=10)
    bench.dispatcher.stop()


def test_what_an_engine_refuses_has_failed(bench: Bench) -> None:
    bench.accept("r1")
    bench.accept("r2")
    bench.engine.error = InputError("no such parameter")
    bench.dispatcher.tick()
    assert bench.states()["r1"] == "failed"
    assert read_release(bench.state, "r1")["reason"] == "no such parameter"


def test_after_a_restart_a_run_the_engine_never_got_is_submitted(bench: Bench) -> None:
    bench.accept("r1")
    bench.ledger.begin()
    bench.make().tick()
    assert [one.run_id for one in bench.engine.submitted] == ["r1"]


def test_a_run_that_is_gone_is_not_made_again(bench: Bench) -> None:
    bench.accept("r1")
    bench.dispatcher.tick()
    bench.engine.runs.clear()
    bench.make().tick()
    assert bench.states() == {"r1": "failed"}
    assert "its run is gone from local" in str(read_release(bench.state, "r1")["reason"])
    assert len(bench.engine.submitted) == 1


def test_a_run_under_way_waits_for_its_engine_however_long(bench: Bench) -> None:
    bench.accept("r1")
    bench.dispatcher.tick()
    without = Dispatcher(bench.ledger, {}, Path, monotonic=lambda: bench.now, submit_for=60)
    for now in range(0, 300, 31):
        bench.now = now
        without.tick()
    assert bench.states() == {"r1": "running"}
    assert "start it with --engine local" in str(read_release(bench.state, "r1")["reason"])


def test_a_promotion_stands_after_a_finalize_that_failed(bench: Bench) -> None:
    bench.accept("r1")
    bench.dispatcher.tick()
    promote = TaskStatus("promote", TaskState.SUCCEEDED, 1, outputs={"outcome": "promoted"})
    finalize = TaskStatus("finalize", TaskState.FAILED, 1, message="no proxy")
    bench.engine.runs["r1"] = RunStatus(
        "r1", RunState.FAILED, (promote, finalize), "finalize: no proxy"
    )
    bench.dispatcher.tick()
    assert bench.states() == {"r1": "promoted"}
    reason = read_release(bench.state, "r1")["reason"]
    assert reason == "promoted, and then a task failed: finalize: no proxy"
