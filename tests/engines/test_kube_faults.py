"""Engines on an API server that fails: in each way that one can, and nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import CoalmineError, InputError
from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import BusyError, RunState
from tests.engines.kubefix import (
    KINDS,
    make_engine,
    request,
    runs_of,
    say,
    until,
    wait_ended,
)
from tests.engines.replay import RUN
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import conflict, denied, forbidden, too_many

PRODUCTS = {"tekton": "Tekton Pipelines", "argo": "Argo Workflows"}


def _is(engine: KubeEngine, state: RunState) -> bool:
    status = engine.status(RUN)
    return bool(status and status.state is state)


@pytest.mark.parametrize("reset", Reset)
def test_an_answer_that_is_lost_makes_no_second_run(
    api: KubeApi, engine: KubeEngine, reset: Reset
) -> None:
    api.faults.add(Fault("POST", KINDS[engine.name].plural, reset=reset))
    with pytest.raises(CoalmineError, match="does not answer"):
        engine.submit(request())
    assert bool(engine.status(RUN)) is (reset is Reset.AFTER)
    engine.submit(request())
    assert len(runs_of(api, engine)) == 1


def test_a_server_with_too_much_to_do_says_when_to_come_again(
    api: KubeApi, engine: KubeEngine
) -> None:
    api.faults.add(Fault("POST", KINDS[engine.name].plural, too_many(7)))
    with pytest.raises(BusyError) as busy:
        engine.submit(request())
    assert busy.value.retry_after == 7
    engine.submit(request())
    assert len(runs_of(api, engine)) == 1


def test_an_object_that_is_refused_is_wrong_input(api: KubeApi, engine: KubeEngine) -> None:
    refusal = denied("validation.webhook", "missing field(s): spec.tasks", 400)
    api.faults.add(Fault("POST", KINDS[engine.name].plural, refusal))
    with pytest.raises(InputError, match="missing field"):
        engine.submit(request())


def test_a_run_that_ends_while_it_is_cancelled_is_no_error(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())

    def ended_meanwhile() -> Any:
        say(api, engine, "True")
        return denied("validation.webhook", "Once the PipelineRun is complete, no updates", 400)

    api.faults.add(Fault("PATCH", name_of(RUN), ended_meanwhile))
    engine.cancel(RUN)
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_a_change_that_meets_another_is_made_when_it_is_asked_for_again(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())
    api.faults.add(Fault("PATCH", name_of(RUN), conflict(KINDS[engine.name], name_of(RUN))))
    with pytest.raises(CoalmineError, match="the object has been modified"):
        engine.cancel(RUN)
    engine.cancel(RUN)
    (run,) = runs_of(api, engine)
    asked = {"tekton": "CancelledRunFinally", "argo": "Stop"}
    assert asked[engine.name] in run["spec"].values()


def test_a_token_that_is_wrong_is_told(api: KubeApi, tmp_path: Path) -> None:
    api.app.token = "secret"
    engine = make_engine(api, tmp_path, "tekton")
    engine.submit(request())
    api.app.token = "another"
    with pytest.raises(CoalmineError, match="401") as refusal:
        engine.submit(request("r2"))
    assert "token" in refusal.value.fix
    assert "secret" not in str(refusal.value)
    engine.close()


def test_a_right_that_is_missing_is_named_and_may_come(api: KubeApi, engine: KubeEngine) -> None:
    kind = KINDS[engine.name]
    refusal = forbidden(kind, "create", "ci", "someone")
    api.faults.add(Fault("POST", kind.plural, refusal))
    with pytest.raises(CoalmineError, match=f"let us create {kind.plural} in ci: 403") as found:
        engine.submit(request())
    assert not isinstance(found.value, InputError)
    assert "docs/engines.md" in found.value.fix
    engine.submit(request())
    assert len(runs_of(api, engine)) == 1


def test_an_engine_that_is_not_installed_is_named(api: KubeApi, engine: KubeEngine) -> None:
    api.app.absent = {KINDS[engine.name].group}
    for ask in (lambda: engine.submit(request()), engine.probe):
        with pytest.raises(CoalmineError) as refusal:
            ask()
        assert not isinstance(refusal.value, InputError)
        assert PRODUCTS[engine.name].partition(" ")[0].lower() in str(refusal.value).lower()
        assert "install" in refusal.value.fix
    api.app.absent = set()
    engine.submit(request())
    assert engine.probe()


def test_a_server_that_is_away_is_told_of_and_may_come_back(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())
    until(lambda: api.said("GET", "watch=1"))
    faults = [
        api.faults.add(Fault(verb, "", reset=Reset.BEFORE, times=None)) for verb in ("GET", "POST")
    ]

    def away() -> bool:
        api.app.watches.epoch += 1  # ends the watch, unless it only begins
        with pytest.raises(CoalmineError, match="does not answer"):
            engine.submit(request("r2"))
        try:
            engine.status(RUN)
        except CoalmineError as error:
            return "does not answer" in str(error)
        return False

    until(away)
    for fault in faults:
        fault.times = 0
    say(api, engine, "True")

    def ended() -> bool:
        try:
            return _is(engine, RunState.SUCCEEDED)
        except CoalmineError:
            return False

    until(ended)
    assert len(runs_of(api, engine)) == 1
