"""A run that a person ended so that its exit task was left out: the canary goes all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coalmine.engines.ending import lacks_exit, with_exit
from coalmine.engines.kube.dialect import name_of
from coalmine.engines.kube.engine import KubeEngine
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus
from coalmine.launcher.facts import final_state, read_facts
from coalmine.launcher.release import ReleaseState
from tests.engines import pods
from tests.engines.kubefix import KINDS, make_engine, request, until, wait_ended
from tests.engines.replay import RUN
from tests.kubeapi.kinds import kind_of
from tests.kubeapi.server import KubeApi

TASK_RUN = kind_of("tekton.dev/v1", "TaskRun")
ALONE = f"{name_of(RUN)}-exit"


def _object(api: KubeApi, engine: KubeEngine, name: str) -> dict[str, Any]:
    return api.store.get(KINDS[engine.name], "ci", name)


def _condition(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]}


def _task_run(api: KubeApi, run: dict[str, Any], task: str, status: dict[str, Any]) -> None:
    metadata = run["metadata"]
    labels = {"tekton.dev/pipelineRun": metadata["name"], "tekton.dev/pipelineTask": task}
    named = {"name": f"{metadata['name']}-{task}", "labels": {**metadata["labels"], **labels}}
    item = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": named}
    made = api.store.create(item, "ci")
    begun = {"startTime": "2026-01-31T12:00:00Z", "podName": named["name"]}
    api.store.set_status(made, {**begun, **status})


def _node(task: str, phase: str, outputs: dict[str, str]) -> dict[str, Any]:
    written = [{"name": name, "value": value} for name, value in outputs.items()]
    named = {"id": task, "name": task, "displayName": task, "templateName": task}
    why = "workflow shutdown with strategy:  Terminate" if phase == "Failed" else ""
    return {
        **named,
        "type": "Pod",
        "phase": phase,
        "message": why,
        "outputs": {"parameters": written},
    }


def _end(
    api: KubeApi, engine: KubeEngine, name: str, task: str, *, done: bool, **outputs: str
) -> None:
    """Let a run end, after one task of it did."""
    run = _object(api, engine, name)
    if engine.name == "tekton":
        word = ("True", "Succeeded") if done else ("False", "TaskRunCancelled")
        results = [{"name": key, "value": value} for key, value in outputs.items()]
        _task_run(api, run, task, {**_condition(*word), "results": results})
        word = ("True", "Completed") if done else ("False", "Cancelled")
        api.store.set_status(run, _condition(*word))
        return
    phase = "Succeeded" if done else "Failed"
    nodes = {task: _node(task, phase, outputs)}
    api.store.set_status(run, {"phase": phase, "nodes": nodes})


def _ended_by_a_person(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    asked = {"tekton": {"status": "Cancelled"}, "argo": {"shutdown": "Terminate"}}[engine.name]
    api.store.update(
        KINDS[engine.name],
        "ci",
        name_of(RUN),
        lambda now: now | {"spec": now["spec"] | asked},
    )
    _end(api, engine, name_of(RUN), "canary", done=False)


def _waits(api: KubeApi, engine: KubeEngine) -> RunStatus:
    """Its status while the exit task, which has been started, is yet to end."""

    def known() -> RunStatus | None:
        status = engine.status(RUN)
        runs = api.store.list(KINDS[engine.name], "ci")[0]
        begun = any(one["metadata"]["name"] == ALONE for one in runs)
        return status if begun else None

    return until(known)


def test_the_exit_task_is_run_alone_and_the_canary_goes(
    api: KubeApi, engine: KubeEngine, tmp_path: Path
) -> None:
    _ended_by_a_person(api, engine)
    assert _waits(api, engine).state is RunState.RUNNING
    other = make_engine(api, tmp_path, engine.name)
    status = other.status(RUN)
    other.close()
    assert status is not None
    assert status.state is RunState.RUNNING
    runs = [one["metadata"]["name"] for one in api.store.list(KINDS[engine.name], "ci")[0]]
    assert runs == [name_of(RUN), ALONE]
    alone = _object(api, engine, ALONE)
    start = pods.tekton(alone, "finalize", {}, {}, {}) if engine.name == "tekton" else None
    if start:
        assert (start.after("--release-id"), start.after("--service")) == (RUN, "iris")
    else:
        entry, handler = alone["spec"]["templates"]
        assert (entry["name"], handler["name"]) == (alone["spec"]["entrypoint"], "finalize")
        assert {"onExit", "shutdown"}.isdisjoint(alone["spec"])
        given = {one["name"]: one["value"] for one in alone["spec"]["arguments"]["parameters"]}
        assert (given["release_id"], given["service"]) == (RUN, "iris")
    _end(api, engine, ALONE, "finalize", done=True, outcome="rolled_back")
    found = wait_ended(engine)
    assert found.tasks[-1].outputs == {"outcome": "rolled_back"}
    assert found.tasks[-1].state is TaskState.SUCCEEDED
    assert final_state(found, read_facts(found.tasks)) is ReleaseState.CANCELLED
    where = {"tekton": (f"{ALONE}-finalize", "step-main"), "argo": ("finalize", "main")}
    api.app.logs["ci", *where[engine.name]] = "the canary is gone\n"
    assert engine.logs(RUN, "finalize") == b"the canary is gone\n"
    assert engine.logs(RUN, "promote") == b""


def test_an_exit_task_that_fails_alone_is_told(api: KubeApi, engine: KubeEngine) -> None:
    _ended_by_a_person(api, engine)
    _waits(api, engine)
    _end(api, engine, ALONE, "finalize", done=False)
    found = wait_ended(engine)
    assert found.state is RunState.CANCELLED
    assert found.message.startswith("the run was cancelled; ")


def test_an_exit_task_that_needs_the_run_cannot_be_run_alone(
    api: KubeApi, engine: KubeEngine
) -> None:
    engine.submit(request())

    def with_need(now: dict[str, Any]) -> dict[str, Any]:
        need = {"name": "seen", "value": "$(tasks.status) {{workflow.status}}"}
        spec = now["spec"]
        if engine.name == "tekton":
            spec["pipelineSpec"]["finally"][0]["params"].append(need)
        else:
            handler = next(one for one in spec["templates"] if one["name"] == "finalize")
            handler["inputs"]["parameters"].append(need)
        return now

    api.store.update(KINDS[engine.name], "ci", name_of(RUN), with_need)
    _end(api, engine, name_of(RUN), "canary", done=False)
    assert "finalize could not be run, look for the canary" in wait_ended(engine).message


def test_a_run_that_had_not_begun_has_nothing_to_clear_up(api: KubeApi, engine: KubeEngine) -> None:
    engine.submit(request())
    run = _object(api, engine, name_of(RUN))
    refused = {"phase": "Error"} if engine.name == "argo" else _condition("False", "CouldntGet")
    api.store.set_status(run, refused)
    assert wait_ended(engine).state is RunState.FAILED
    assert len(api.store.list(KINDS[engine.name], "ci")[0]) == 1


@pytest.mark.parametrize("end", TaskState)
@pytest.mark.parametrize("state", RunState)
def test_only_a_run_that_is_over_lacks_an_exit_that_did_not_end(
    state: RunState, end: TaskState
) -> None:
    tasks = (TaskStatus("canary", TaskState.CANCELLED, 1), TaskStatus("finalize", end))
    run = RunStatus("r1", state, tasks, at_the_end=frozenset({"finalize"}))
    lacks = state.ended and end not in {TaskState.SUCCEEDED, TaskState.FAILED}
    assert lacks_exit(run) is lacks
    assert not lacks_exit(RunStatus("r1", state, tasks))
    assert with_exit(run, None).state is RunState.RUNNING
