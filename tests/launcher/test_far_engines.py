"""The launcher's dispatcher and engines of Kubernetes, on an API server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine._base.errors import InputError
from coalmine.events import Event
from coalmine.launcher.bindings_file import load_bindings
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.intake import release_of
from tests.engines.kubefix import until
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.server import serve
from tests.kubeapi.status import forbidden, too_many
from tests.launcher.far import BINDINGS, RUN, Bench, Controller


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with serve() as api:
        made = Bench(api, tmp_path)
        yield made
        made.ledger.close()


class Clock:
    """A launcher's clock, and its rounds at moments of it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, dispatcher: Dispatcher, *moments: float) -> None:
        for moment in moments:
            self.now = moment
            dispatcher.tick()


def test_a_launcher_that_is_started_again_goes_on_with_what_runs(bench: Bench) -> None:
    controller = Controller(bench.api)
    for number in range(4):
        bench.ask(number, f"service{number % 2}")
    with bench.launched():
        until(lambda: len(bench.runs()) == 2)
    assert bench.states() == ["running", "running", "accepted", "accepted"]
    controller.may_end.set()
    with bench.launched():
        until(lambda: bench.states() == ["promoted"] * 4)
    assert len(set(bench.runs())) == len(bench.runs()) == 4


def test_every_release_becomes_one_run_whatever_the_server_does(bench: Bench) -> None:
    Controller(bench.api).may_end.set()
    for reset in Reset:
        bench.api.faults.add(Fault("POST", "pipelineruns", reset=reset, times=3))
    bench.api.faults.add(Fault("POST", "pipelineruns", too_many(0), times=3))
    bench.api.faults.add(Fault("GET", "watch=1", reset=Reset.BEFORE, times=2))
    for number in range(12):
        bench.ask(number, f"service{number % 6}")
    with bench.launched():
        until(lambda: bench.states() == ["promoted"] * 12)
    assert len(set(bench.runs())) == len(bench.runs()) == 12


@pytest.mark.parametrize("value", ["$(params.x)", "$$", "{{workflow.name}}", '"}) or vector(1'])
@pytest.mark.parametrize("engine", ["tekton", "argo", "kfp", "local"])
def test_an_event_that_the_engine_would_read_as_code_is_refused(
    tmp_path: Path, engine: str, value: str
) -> None:
    path = tmp_path / "bindings.yaml"
    path.write_text(BINDINGS.format(engine=engine))
    event = Event("1", "/ci", "t", data={"name": "iris", "policy": value})
    is_text = engine == "local" or value.startswith('"') or (engine == "tekton" and "{" in value)
    if is_text:
        assert release_of(load_bindings(path), event).parameters["policy"] == value
        return
    with pytest.raises(InputError, match="would replace") as found:
        release_of(load_bindings(path), event)
    assert found.value.field == "policy"


def test_a_server_that_is_away_for_a_minute_loses_and_doubles_nothing(bench: Bench) -> None:
    controller, clock = Controller(bench.api), Clock()
    bench.ask(1, "first")
    with bench.driven(clock) as dispatcher:
        clock.tick(dispatcher, 0.0)
        assert bench.states() == ["running"]
        faults = [
            bench.api.faults.add(Fault(verb, "", reset=Reset.BEFORE, times=None))
            for verb in ("GET", "POST", "PATCH")
        ]
        bench.api.app.watches.epoch += 1
        bench.ask(2, "second")
        clock.tick(dispatcher, *range(1, 60))
        assert bench.states() == ["running", "running"]
        assert any("is tried again: the API server" in one for one in bench.reasons())
        assert len(bench.runs()) == 1
        for fault in faults:
            fault.times = 0
        controller.may_end.set()

        def ended() -> bool:
            clock.tick(dispatcher, clock.now + 31)
            return bench.states() == ["promoted"] * 2

        until(ended)
    assert len(set(bench.runs())) == len(bench.runs()) == 2


def test_a_server_with_too_much_to_do_is_left_alone_for_as_long_as_it_asks(bench: Bench) -> None:
    Controller(bench.api)
    clock = Clock()
    bench.ask(1, "iris")
    bench.api.faults.add(Fault("POST", "pipelineruns", too_many(700)))
    with bench.driven(clock) as dispatcher:
        clock.tick(dispatcher, 0.0, 1.0, 350.0, 699.0)
        assert len(bench.api.said("POST", "pipelineruns")) == 1
        assert bench.states() == ["running"]
        clock.tick(dispatcher, 701.0)
        assert len(bench.runs()) == 1


@pytest.mark.parametrize("how", ["a right", "the engine"])
def test_what_is_missing_is_said_and_may_come(bench: Bench, how: str) -> None:
    Controller(bench.api).may_end.set()
    clock = Clock()
    bench.ask(1, "iris")
    fault = Fault("POST", "pipelineruns", forbidden(RUN, "create", "ci", "someone"))
    if how == "a right":
        bench.api.faults.add(fault)
    else:
        bench.api.app.absent = {"tekton.dev"}
    with bench.driven(clock) as dispatcher:
        clock.tick(dispatcher, 0.0)
        said = {"a right": "create pipelineruns in ci", "the engine": "is not installed"}
        assert said[how] in bench.reasons()[0]
        bench.api.app.absent = set()

        def ended() -> bool:
            clock.tick(dispatcher, clock.now + 31)
            return bench.states() == ["promoted"]

        until(ended)


def _end_without_a_launcher(bench: Bench, *, delete: bool) -> None:
    controller = Controller(bench.api)
    bench.ask(1, "iris")
    with bench.launched():
        until(bench.runs)
        until(lambda: [one for one in bench.ledger.running() if one.submitted])
    controller.may_end.set()
    until(lambda: controller.ended)
    if delete:
        (run,) = bench.api.store.list(RUN)[0]
        bench.api.store.delete(RUN, "ci", run["metadata"]["name"])


def test_a_run_that_ended_while_no_launcher_looked_is_read(bench: Bench) -> None:
    _end_without_a_launcher(bench, delete=False)
    assert bench.states() == ["running"]
    with bench.launched():
        until(lambda: bench.states() == ["promoted"])


def test_a_run_that_was_cleared_away_while_no_launcher_looked_is_told(bench: Bench) -> None:
    _end_without_a_launcher(bench, delete=True)
    with bench.launched():
        until(lambda: bench.states() == ["failed"])
    assert "its run is gone from tekton" in bench.reasons()[0]
    assert len(bench.api.said("POST", "pipelineruns")) == 1


def test_a_run_that_a_person_deletes_fails_its_release(bench: Bench) -> None:
    Controller(bench.api)
    bench.ask(1, "iris")
    with bench.launched():
        until(lambda: [one for one in bench.ledger.running() if one.submitted])
        (run,) = bench.api.store.list(RUN)[0]
        bench.api.store.delete(RUN, "ci", run["metadata"]["name"])
        until(lambda: bench.states() == ["failed"])
    assert "it was deleted there" in bench.reasons()[0]


def test_a_run_that_is_cleared_away_after_its_end_changes_nothing(bench: Bench) -> None:
    Controller(bench.api).may_end.set()
    bench.ask(1, "iris")
    with bench.launched() as dispatcher:
        until(lambda: bench.states() == ["promoted"])
        (run,) = bench.api.store.list(RUN)[0]
        bench.api.store.delete(RUN, "ci", run["metadata"]["name"])
        assert dispatcher.tick() is False
        assert bench.states() == ["promoted"]
