"""The launcher's dispatcher and engines of Kubernetes, on an API server of the tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine._base.errors import InputError
from coalmine.compiler.ir import read_graph
from coalmine.engines.kube.client import connect
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.kube.mirror import RELEASE
from coalmine.engines.settings import EngineSettings
from coalmine.engines.tekton import Tekton
from coalmine.events import Event
from coalmine.launcher.bindings_file import load_bindings
from coalmine.launcher.dispatcher import Dispatcher
from coalmine.launcher.intake import release_of
from coalmine.launcher.ledger import Ledger, ledger_url
from coalmine.launcher.read import read_releases
from tests.engines.kubefix import RELEASE_IR, until
from tests.kubeapi.faults import Fault, Reset
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi, serve
from tests.kubeapi.status import too_many
from tests.kubeapi.store import Change

RUN = kind_of("tekton.dev/v1", "PipelineRun")
BINDINGS = """
bindings:
  - name: tekton
    types: [t]
    pipeline: release
    engine: {engine}
    parameters:
      - {{name: service, value: $(body.name)}}
      - {{name: name, value: $(body.name)}}
      - {{name: policy, value: $(body.policy), default: ""}}
"""


class Controller:
    """Plays Tekton: each run ends in a promotion, as soon as it is let."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.may_end = threading.Event()
        api.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.type == "ADDED" and change.kind == RUN:
            threading.Thread(target=self._run, args=(change.object,), daemon=True).start()

    def _run(self, run: dict[str, Any]) -> None:
        self._say(run, "Unknown", "Running")
        self.may_end.wait(20)
        metadata = run["metadata"]
        name = f"{metadata['name']}-promote"
        labels = {"tekton.dev/pipelineRun": metadata["name"], "tekton.dev/pipelineTask": "promote"}
        task = self._api.store.create(
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "TaskRun",
                "metadata": {"name": name, "labels": {**metadata["labels"], **labels}},
            },
            metadata["namespace"],
        )
        self._say(task, "True", "Succeeded", results=[{"name": "outcome", "value": "promoted"}])
        self._say(run, "True", "Completed")

    def _say(self, item: dict[str, Any], status: str, reason: str, **more: Any) -> None:
        condition = {"type": "Succeeded", "status": status, "reason": reason, "message": ""}
        self._api.store.set_status(item, {"conditions": [condition], **more})


class Bench:
    def __init__(self, api: KubeApi, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.ledger = Ledger(ledger_url(folder))
        path = folder / "bindings.yaml"
        path.write_text(BINDINGS.format(engine="tekton"))
        self.bindings = load_bindings(path)

    def ask(self, number: int, service: str) -> None:
        event = Event(str(number), "/ci", "t", data={"name": service})
        self.ledger.accept([[release_of(self.bindings, event)]])

    @contextlib.contextmanager
    def launched(self) -> Iterator[Dispatcher]:
        settings = EngineSettings(kubeconfig=self.api.kubeconfig(self.folder / "config", "ci"))
        engine = KubeEngine(Tekton(), connect(settings), read_graph)
        engine.open()
        dispatcher = Dispatcher(self.ledger, {"tekton": engine}, lambda _: RELEASE_IR)
        dispatcher.start()
        try:
            yield dispatcher
        finally:
            dispatcher.stop()
            engine.close()

    def states(self) -> list[str]:
        return [str(one["state"]) for one in read_releases(self.folder)]

    def runs(self) -> list[str]:
        return [one["metadata"]["labels"][RELEASE] for one in self.api.store.list(RUN)[0]]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with serve() as api:
        made = Bench(api, tmp_path)
        yield made
        made.ledger.close()


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
