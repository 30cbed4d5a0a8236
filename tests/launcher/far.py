"""A launcher's dispatcher and an engine of Kubernetes, and a controller that plays Tekton."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coalmine.engines.kube.connect import connect
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
from tests.engines.kubefix import RELEASE_IR, read_once
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi
from tests.kubeapi.store import Change

__all__ = ["BINDINGS", "Bench", "Controller"]

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
    """Plays Tekton: each run ends in a promotion, as soon as it is let; `ended` counts them."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.may_end = threading.Event()
        self.ended = 0
        api.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.type == "ADDED" and change.kind == RUN:
            threading.Thread(target=self._run, args=(change.object,), daemon=True).start()

    def _run(self, run: dict[str, Any]) -> None:
        self._say(run, "Unknown", "Running")
        if not self.may_end.wait(20):
            return  # nobody let it: it is over
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
        self.ended += 1

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
        with self._engine() as engine:
            dispatcher = Dispatcher(self.ledger, {"tekton": engine}, lambda _: RELEASE_IR)
            dispatcher.start()
            try:
                yield dispatcher
            finally:
                dispatcher.stop()

    @contextlib.contextmanager
    def driven(self, clock: Callable[[], float]) -> Iterator[Dispatcher]:
        """A dispatcher that does a round when it is told to."""
        with self._engine() as engine:
            yield Dispatcher(self.ledger, {"tekton": engine}, lambda _: RELEASE_IR, monotonic=clock)

    @contextlib.contextmanager
    def _engine(self) -> Iterator[KubeEngine]:
        settings = EngineSettings(kubeconfig=self.api.kubeconfig(self.folder / "config", "ci"))
        engine = KubeEngine(Tekton(), connect(settings), read_once)
        engine.open()
        try:
            yield engine
        finally:
            engine.close()

    def states(self) -> list[str]:
        return [str(one["state"]) for one in read_releases(self.folder)]

    def reasons(self) -> list[str]:
        return [str(one["reason"]) for one in read_releases(self.folder)]

    def runs(self) -> list[str]:
        return [one["metadata"]["labels"][RELEASE] for one in self.api.store.list(RUN)[0]]
