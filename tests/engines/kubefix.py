"""Engines of Kubernetes, beside an API server of the tests."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.engines.argo import Argo
from coalmine.engines.kube.connect import connect
from coalmine.engines.kube.dialect import Dialect
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import RunRequest, RunStatus
from coalmine.engines.settings import EngineSettings
from coalmine.engines.tekton import Tekton
from tests.engines.replay import RUN
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi

__all__ = [
    "DIALECTS",
    "KINDS",
    "RELEASE_IR",
    "make_engine",
    "read_once",
    "request",
    "runs_of",
    "say",
    "until",
    "wait_ended",
]

T = TypeVar("T")
RELEASE_IR = Path(__file__).parents[2] / "compiled" / "kfp" / "release.yaml"
KINDS = {
    "tekton": kind_of("tekton.dev/v1", "PipelineRun"),
    "argo": kind_of("argoproj.io/v1alpha1", "Workflow"),
}
DIALECTS: dict[str, Callable[[], Dialect]] = {"tekton": Tekton, "argo": Argo}


@functools.cache
def read_once(path: Path) -> Graph:
    """Read a pipeline that no test changes."""
    return read_graph(path)


def runs_of(api: KubeApi, engine: KubeEngine) -> list[dict[str, Any]]:
    """The runs that the server has."""
    return api.store.list(KINDS[engine.name], "ci")[0]


def say(api: KubeApi, engine: KubeEngine, state: str) -> None:
    """Let the only run be in a state, by the word of Tekton's condition."""
    (run,) = runs_of(api, engine)
    reason = {"type": "Succeeded", "status": state, "reason": "r", "message": "m"}
    phase = {"True": "Succeeded", "False": "Failed", "Unknown": "Running"}[state]
    status = {"conditions": [reason]} if engine.name == "tekton" else {"phase": phase}
    api.store.set_status(run, status)


def make_engine(api: KubeApi, folder: Path, name: str, **options: Any) -> KubeEngine:
    settings = EngineSettings(kubeconfig=api.kubeconfig(folder / "kubeconfig", "ci"))
    return KubeEngine(DIALECTS[name](), connect(settings), read_once, **options)


def request(run_id: str = RUN, **values: str) -> RunRequest:
    given = {"release_id": run_id, "service": "iris", "name": "iris", "version": "v2"}
    return RunRequest(run_id, RELEASE_IR, given | values)


def until(ask: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 20
    while True:
        if found := ask():
            return found
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_ended(engine: KubeEngine, run_id: str = RUN) -> RunStatus:
    def ended() -> RunStatus | None:
        status = engine.status(run_id)
        return status if status and status.state.ended else None

    return until(ended)
