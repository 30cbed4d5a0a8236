"""Runs that no engine takes: how long they are tried, and what becomes of them then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine._base.errors import CoalmineError
from coalmine.engines.protocol import BusyError, RunState
from coalmine.launcher.patience import wait_after
from coalmine.launcher.read import read_release
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.retry import NoRetryError, Retrier
from tests.launcher.pretend import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


def test_waits_grow_to_a_limit() -> None:
    waits = [wait_after(failures) for failures in range(1, 100)]
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits == sorted(waits)
    assert waits[-1] == 30


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
