from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.protocol import (
    BusyError,
    RunRequest,
    RunState,
    RunStatus,
    TaskState,
    TaskStatus,
)
from coalmine.launcher.admission import Admitted
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.patience import wait_after
from coalmine.launcher.read import read_release, read_releases
from coalmine.launcher.release import NewRelease, ReleaseState
from coalmine.launcher.retry import NoRetryError, Retrier


def test_waits_grow_to_a_limit() -> None:
    waits = [wait_after(failures) for failures in range(1, 100)]
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits == sorted(waits)
    assert waits[-1] == 30


class PretendEngine:
    """An engine that does what its test says."""

    name = "local"
    portable = True

    def __init__(self) -> None:
        self.submitted: list[RunRequest] = []
        self.runs: dict[str, RunStatus] = {}
        self.error: Exception | None = None
        self.broken: set[str] = set()
        self.seen = threading.Event()

    def submit(self, request: RunRequest) -> None:
        if self.error:
            raise self.error
        self.submitted.append(request)
        self.seen.set()
        self.runs.setdefault(request.run_id, RunStatus(request.run_id, RunState.PENDING))

    def status(self, run_id: str) -> RunStatus | None:
        if run_id in self.broken:
            raise KeyError("state")
        return self.runs.get(run_id)

    def cancel(self, run_id: str) -> None:
        self.runs[run_id] = replace(self.runs[run_id], state=RunState.CANCELLED)

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        return b""

    def say(self, run_id: str, state: RunState, message: str = "", **outputs: str) -> None:
        task = TaskStatus("some-task", TaskState.SUCCEEDED, 1, outputs=outputs)
        self.runs[run_id] = RunStatus(run_id, state, (task,), message)


class Bench:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.engine = PretendEngine()
        self.ledger = Ledger(ledger_url(state))
        self.now = 0.0
        self.dispatcher = self.make()

    def make(self) -> Dispatcher:
        return Dispatcher(
            self.ledger, {"local": self.engine}, Path, monotonic=lambda: self.now, submit_for=60
        )

    def tick_at(self, now: float) -> None:
        self.now = now
        self.dispatcher.tick()

    def accept(self, release_id: str, service: str = "iris") -> bool:
        release = NewRelease(
            release_id,
            service,
            "iris",
            "",
            "/ci",
            release_id,
            "t",
            "b",
            "release",
            "local",
            {"release_id": release_id},
        )
        [[admitted]] = cast("list[list[Admitted]]", self.ledger.accept([[release]]))
        return admitted.new

    def states(self) -> dict[object, object]:
        return {one["id"]: one["state"] for one in read_releases(self.state)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


def test_one_service_at_a_time(bench: Bench) -> None:
    assert [bench.accept("r1"), bench.accept("r2"), bench.accept("r3", "other")] == [True] * 3
    bench.dispatcher.tick()
    assert bench.states() == {"r1": "running", "r2": "accepted", "r3": "running"}
    bench.engine.say("r1", RunState.SUCCEEDED, outcome="promoted")
    bench.dispatcher.tick()
    assert bench.states() == {"r1": "promoted", "r2": "running", "r3": "running"}
    bench.dispatcher.tick()
    first, second, third = (one.run_id for one in bench.engine.submitted)
    assert ({first, second}, third) == ({"r1", "r3"}, "r2")
    assert {one.run_id: one.parameters for one in bench.engine.submitted}["r1"] == {
        "release_id": "r1"
    }


def test_the_same_event_again_is_the_same_release(bench: Bench) -> None:
    assert bench.accept("r1")
    assert not bench.accept("r1", "elsewhere")
    assert [(one["id"], one["service"]) for one in read_releases(bench.state)] == [("r1", "iris")]


def test_facts_are_read_by_output_name(bench: Bench) -> None:
    bench.accept("r1")
    bench.dispatcher.tick()
    bench.engine.say("r1", RunState.RUNNING, version="v1", image_digest="sha256:1")
    bench.dispatcher.tick()
    running = read_release(bench.state, "r1")
    assert (running["version"], running["state"], running["ended_at"]) == ("v1", "running", None)
    bench.engine.say(
        "r1", RunState.SUCCEEDED, verdict="rollback", reason="errors", outcome="rolled_back"
    )
    bench.dispatcher.tick()
    ended = read_release(bench.state, "r")
    assert (ended["version"], ended["image_digest"]) == ("v1", "sha256:1")
    assert (ended["state"], ended["verdict"], ended["reason"]) == (
        "rolled_back",
        "rollback",
        "errors",
    )
    assert ended["ended_at"]
    assert ended["event"] == {"source": "/ci", "id": "r1", "type": "t"}


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
        no_text = "\ud800" if number == 1 else ""
        bench.engine.say(f"r{number}", RunState.SUCCEEDED, outcome="promoted", reason=no_text)
    bench.dispatcher.tick()
    assert bench.states() == {"r0": "promoted", "r1": "running", "r2": "promoted", "r3": "promoted"}
    assert "surrogates not allowed" in str(read_release(bench.state, "r1")["reason"])
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


def _die(bench: Bench) -> None:
    bench.accept("r1")
    bench.engine.error = CoalmineError("connection refused")
    for now in range(0, 120, 31):
        bench.tick_at(now)
    assert bench.states()["r1"] == "dead"


def test_a_run_that_cannot_be_submitted_is_dead_and_holds_up_nobody(bench: Bench) -> None:
    _die(bench)
    assert "did not take its run for 60 s: connection refused" in str(
        read_release(bench.state, "r1")["reason"]
    )
    bench.engine.error = None
    bench.accept("r2")
    bench.tick_at(200)
    assert [one.run_id for one in bench.engine.submitted] == ["r2"]


def test_a_dead_release_is_tried_again_on_request(bench: Bench) -> None:
    _die(bench)
    bench.engine.error = None
    assert bench.ledger.retry("r1") is ReleaseState.ACCEPTED
    assert bench.ledger.retry("r1") is ReleaseState.ACCEPTED
    bench.tick_at(200)
    assert bench.states() == {"r1": "running"}
    bench.engine.say("r1", RunState.SUCCEEDED, outcome="promoted")
    bench.tick_at(201)
    assert bench.ledger.retry("r1") is ReleaseState.PROMOTED
    assert bench.ledger.retry("nobody") is None


def test_a_dead_release_never_takes_the_place_of_a_newer_one(bench: Bench) -> None:
    _die(bench)
    bench.engine.error = None
    bench.accept("r2")
    bench.tick_at(200)
    bench.engine.say("r2", RunState.SUCCEEDED, outcome="promoted")
    bench.tick_at(201)
    assert bench.ledger.retry("r1") is ReleaseState.DEAD
    with pytest.raises(NoRetryError, match="the newer release r2 of iris was promoted"):
        Retrier(bench.ledger).retry("r1")
    assert bench.states() == {"r1": "dead", "r2": "promoted"}


def test_a_dead_release_put_back_ends_when_a_newer_one_is_promoted_first(bench: Bench) -> None:
    _die(bench)
    bench.engine.error = None
    for release_id in ("r2", "r3"):
        bench.accept(release_id)
    bench.tick_at(200)
    assert Retrier(bench.ledger).retry("r1") is not None
    bench.engine.say("r2", RunState.SUCCEEDED, outcome="promoted")
    bench.tick_at(201)
    assert bench.states() == {"r1": "cancelled", "r2": "promoted", "r3": "running"}
    assert read_release(bench.state, "r1")["reason"] == "the newer release r2 was promoted"


def test_a_busy_engine_is_asked_again_when_it_says_and_is_never_given_up(bench: Bench) -> None:
    bench.accept("r1")
    bench.engine.error = BusyError("too many requests", 7)
    for now in (0, 7, 14, 300, 680, 693):
        bench.tick_at(now)
    assert bench.states() == {"r1": "running"}
    bench.engine.error = None
    bench.tick_at(699)
    assert not bench.engine.submitted
    bench.tick_at(701)
    assert len(bench.engine.submitted) == 1


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


def test_the_thread_wakes_and_stops(bench: Bench) -> None:
    bench.dispatcher.start()
    assert bench.dispatcher.alive
    bench.accept("r1")
    bench.dispatcher.wake()
    assert bench.engine.seen.wait(10)
    bench.dispatcher.stop()
    assert not bench.dispatcher.alive


def test_no_ledger_no_releases(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no releases in"):
        read_releases(tmp_path)
    Ledger(ledger_url(tmp_path)).close()
    assert read_releases(tmp_path) == []
    with pytest.raises(InputError, match="no release with the id r1"):
        read_release(tmp_path, "r1")


def test_a_state_folder_of_any_name(tmp_path: Path) -> None:
    state = tmp_path / "50% off? #1 é"
    state.mkdir()
    bench = Bench(state)
    bench.accept("r1")
    assert bench.states() == {"r1": "accepted"}
    bench.ledger.close()
    assert [one.name for one in tmp_path.iterdir()] == [state.name]


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
