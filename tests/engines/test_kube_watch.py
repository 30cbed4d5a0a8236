"""Watches that end, fall behind or are refused: what is known of a run is right all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coalmine._base.errors import CoalmineError
from coalmine.engines.kube.connect import connect
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import RunState
from coalmine.engines.settings import EngineSettings
from coalmine.engines.tekton import Tekton
from tests.engines.kubefix import (
    KINDS,
    make_engine,
    read_once,
    request,
    say,
    until,
    wait_ended,
)
from tests.engines.replay import RUN
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.server import KubeApi
from tests.kubeapi.status import forbidden, gone, too_many


def _is(engine: KubeEngine, state: RunState) -> bool:
    status = engine.status(RUN)
    return bool(status and status.state is state)


def _lists(api: KubeApi, engine: KubeEngine) -> int:
    plural = KINDS[engine.name].plural
    return len(api.said("GET", f"{plural}?labelSelector"))


def test_a_run_is_followed_through_forgotten_versions_and_broken_watches(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())
    plural = KINDS[engine.name].plural
    until(lambda: api.said("GET", f"{plural}?watch=1"))
    api.faults.add(Fault("GET", "watch=1", reset=Reset.BEFORE))
    api.faults.add(Fault("GET", "watch=1", too_many(0)))
    say(api, engine, "Unknown")

    def runs() -> bool:
        status = engine.status(RUN)
        return bool(status and status.state is RunState.RUNNING)

    until(runs)
    api.store.compact()
    say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_bookmarks_spare_a_list_when_the_history_is_forgotten(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())
    say(api, engine, "Unknown")
    until(lambda: _is(engine, RunState.RUNNING))
    _other_change(api, "c1")
    mirror = engine._runs
    until(lambda: int(mirror._version) >= api.store.list(KINDS[engine.name])[1])
    lists, watches = _lists(api, engine), len(api.said("GET", "watch=1"))
    api.store.compact()
    api.app.watches.epoch += 1
    until(lambda: len(api.said("GET", "watch=1")) > watches)
    say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED
    assert _lists(api, engine) == lists


def _other_change(api: KubeApi, name: str) -> None:
    """A change that our watches do not see; only a bookmark would tell of its version."""
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    api.store.create(item, "ci")


@pytest.mark.parametrize("how", ["status", "event"])
def test_what_is_gone_is_listed_again(api: KubeApi, engine: KubeEngine, how: str) -> None:
    """Gone may be the answer, or the last line of a watch that had begun."""
    engine.submit(request())
    plural = KINDS[engine.name].plural
    until(lambda: api.said("GET", f"{plural}?watch=1"))
    lists = _lists(api, engine)
    if how == "status":
        api.faults.add(Fault("GET", rf"{plural}\?watch=1", gone(1, 2)))
    else:
        api.app.watches.bookmark_every = 60.0
        _other_change(api, "c1")
        api.store.compact()

    def listed_again() -> bool:
        api.app.watches.epoch += 1  # again and again: a watch that only begins does not notice
        _other_change(api, f"d{api.app.watches.epoch}")
        return _lists(api, engine) > lists

    until(listed_again)
    say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED


def test_a_token_is_read_again_when_it_was_renewed(api: KubeApi, tmp_path: Path) -> None:
    """As the kubelet renews that of a pod's own account, in mid-watch."""
    token = tmp_path / "token"
    token.write_text("first")
    api.app.token = "first"
    path = api.kubeconfig(tmp_path / "kubeconfig", "ci")
    known = yaml.safe_load(path.read_text())
    known["users"] = [{"name": "test", "user": {"tokenFile": str(token)}}]
    path.write_text(yaml.safe_dump(known))
    engine = KubeEngine(Tekton(), connect(EngineSettings(kubeconfig=path)), read_once)
    engine.open()
    engine.submit(request())
    until(lambda: api.said("GET", "watch=1"))
    api.app.token = "second"
    api.app.watches.epoch += 1
    token.write_text("second")
    say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED
    engine.close()


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_right_to_look_that_is_missing_is_told_and_may_come(
    api: KubeApi, tmp_path: Path, verb: str
) -> None:
    kind = KINDS["tekton"]
    asks = {"list": r"pipelineruns\?labelSelector", "watch": r"pipelineruns\?watch=1"}[verb]
    fault = api.faults.add(Fault("GET", asks, forbidden(kind, verb, "ci", "someone"), times=None))
    engine = make_engine(api, tmp_path, "tekton")
    engine.open()
    engine.submit(request())

    def refusal() -> str:
        try:
            engine.status(RUN)
        except CoalmineError as error:
            return str(error)
        return ""

    assert f"let us {verb} pipelineruns in ci: 403" in until(refusal)
    fault.times = 0
    until(lambda: not refusal())
    engine.close()


def test_a_watch_that_told_nothing_is_not_trusted(api: KubeApi, engine: KubeEngine) -> None:
    """A server that was restored from a copy tells nothing of what it does at lower versions."""
    api.app.watches.bookmark_every = 60.0
    lists = _lists(api, engine)

    def listed_again() -> bool:
        api.app.watches.epoch += 1
        _other_change(api, f"c{api.app.watches.epoch}")
        return _lists(api, engine) > lists + 1

    until(listed_again)
    engine.submit(request())
    say(api, engine, "True")
    assert wait_ended(engine).state is RunState.SUCCEEDED
