"""Small pipelines, one for each feature: each task and the run give what kfp.local gives."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph
from coalmine.compiler.parameter import ParameterType
from coalmine.engines.local import LocalEngine
from coalmine.engines.protocol import RunRequest, RunState, RunStatus, TaskState

ROOT = Path(__file__).parent.parent.parent
SOURCES = Path(__file__).parent / "alike"
PAGE = ROOT / "docs" / "compile-targets.md"
Told = Mapping[str, Mapping[str, Any]]
QUICK = ("parameters", "between_tasks", "choices", "over_a_parameter", "sub_pipelines", "exit_task")


def run_by_kfp(folder: Path, *names: str) -> Told:
    script = SOURCES / "run_kfp_local.py"
    done = subprocess.run(
        [sys.executable, script, folder, *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: Told = json.loads((folder / "told.json").read_text())
    return told


def submit(engine: LocalEngine, name: str, pipeline: Path, given: Mapping[str, Any]) -> None:
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()
    }
    engine.submit(RunRequest(name, pipeline, texts))


def wait(engine: LocalEngine, name: str) -> RunStatus:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status = engine.status(name)
        if status and status.state.ended:
            return status
        time.sleep(0.02)
    raise AssertionError(f"{name} is still running")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(tmp_path / "state", read_graph)
    made.open()
    yield made
    made.close()


def value_of(text: str, type_: ParameterType | None) -> Any:
    """Read a text by its declared type; what has none is an artifact, of which metadata counts."""
    if type_ is None:
        return {"metadata": json.loads(text).get("metadata", {})}
    return text if type_ is ParameterType.STRING else json.loads(text)


def types_of(graph: Graph) -> dict[str, dict[str, ParameterType]]:
    ends = [graph.exit_task] if graph.exit_task else []
    return {
        task.name: {item.name: item.type for item in task.outputs} for task in (*graph.tasks, *ends)
    }


def told_here(status: RunStatus, graph: Graph) -> list[dict[str, Any]]:
    """Tell what the tasks of a run gave, in the words in which kfp.local's is told."""
    types = types_of(graph)

    def typed(task: str, outputs: Mapping[str, str]) -> dict[str, Any]:
        # A turn of a loop is named after its task.
        names = [name for name in types if f"{task}-".startswith(f"{name}-")]
        known = types[max(names, key=len)]
        return {name: value_of(text, known.get(name)) for name, text in outputs.items()}

    ran = [task for task in status.tasks if task.state is TaskState.SUCCEEDED and task.outputs]
    return [typed(task.name, task.outputs) for task in ran]


def in_order(values: Iterable[Any]) -> list[str]:
    """Sort what comes in no order; JSON has one kind of number."""
    texts = (json.dumps(value) for value in values)
    return sorted(json.dumps(json.loads(text, parse_int=float), sort_keys=True) for text in texts)


def outputs_here(status: RunStatus, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Read the outputs of the whole run as what kfp.local gave for each."""

    def like(value: Any, text: str) -> Any:
        if isinstance(value, str):
            return text
        if isinstance(value, dict) and "metadata" in value:
            return {"metadata": json.loads(text)["metadata"]}
        return json.loads(text)

    return {name: like(wanted.get(name, ""), text) for name, text in status.outputs.items()}


def compare(engine: LocalEngine, folder: Path, told: Told) -> None:
    for name, run in told.items():
        submit(engine, name, folder / f"{run['case']}.yaml", run["arguments"])
    for name, run in told.items():
        status = wait(engine, name)
        ours = told_here(status, read_graph(folder / f"{run['case']}.yaml"))
        failed = status.state is not RunState.SUCCEEDED
        same = (failed, in_order(ours)) == (bool(run["failed"]), in_order(run["tasks"]))
        if run["apart"]:
            assert not same, f"{name}: kfp.local is right by now; take it out of the table"
            assert not failed, f"{name}: {status.message}"
            given = [value for task in ours for value in task.values()]
            assert sorted(map(repr, given)) == sorted(map(repr, run["gives"])), name
        else:
            assert same, f"{name}: {ours} {status.message} / {run['tasks']} {run['failed']}"
            assert outputs_here(status, run["outputs"]) == run["outputs"], name


def test_common_features_give_what_kfp_local_gives(engine: LocalEngine, tmp_path: Path) -> None:
    compare(engine, tmp_path, run_by_kfp(tmp_path, *QUICK))


@pytest.mark.soak
def test_every_feature_gives_what_kfp_local_gives(engine: LocalEngine, tmp_path: Path) -> None:
    told = run_by_kfp(tmp_path)
    compare(engine, tmp_path, told)
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for apart in {run["apart"] for run in told.values()} - {""}:
        assert any(row.startswith(f"| {apart}") for row in rows), f"no row for {apart}"
