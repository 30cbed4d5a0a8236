"""What becomes of releases where nothing goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.engines.protocol import RunState
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.read import read_release, read_releases
from tests.launcher.pretend import Bench


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
