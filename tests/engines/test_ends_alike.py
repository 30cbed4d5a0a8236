"""The same end of a release, said in each engine's own words, is the same end to us."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from coalmine.engines.argo import Argo
from coalmine.engines.kfp.status import read_run as read_kfp
from coalmine.engines.local.ended import Ended, run_state
from coalmine.engines.local.journal import first_page, page_from_json, page_to_json
from coalmine.engines.protocol import RunStatus, TaskState
from coalmine.engines.tekton import Tekton
from coalmine.launcher.facts import final_state, read_facts
from coalmine.launcher.release import ReleaseState
from tests.engines.kubefix import RELEASE_IR, read_once

GRAPH = read_once(RELEASE_IR)
NAMES = [task.name for task in GRAPH.tasks]
BEFORE = {"retrieve": "done", "build": "done", "canary": "done"}
LAST = ("gate", "promote", "rollback", "finalize")
WAYS = [
    # What each of the last tasks came to; whether the run was cancelled.
    *product(["done"], ["promoted", "failed"], ["skipped"], ["unchanged", "rolled_back", "failed"]),
    *product(["done"], ["skipped"], ["rolled_back", "failed"], ["rolled_back", "failed"]),
    *product(["failed", "cancelled"], ["skipped"], ["skipped"], ["rolled_back", "failed"]),
]
OUTCOMES = {"promoted", "unchanged", "rolled_back"}
Ends = dict[str, str]


def _run_word(ends: Ends) -> str:
    states = set(ends.values())
    return "cancelled" if "cancelled" in states else "failed" if "failed" in states else "done"


def _outputs(name: str, end: str, ends: Ends) -> dict[str, str]:
    if name == "gate" and end == "done":
        return {"verdict": "rollback" if ends["promote"] == "skipped" else "promote"}
    return {"outcome": end} if end in OUTCOMES else {}


def _tekton(ends: Ends) -> RunStatus:
    def condition(status: str, reason: str) -> dict[str, Any]:
        return {"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]}

    reasons = {"failed": "Failed", "cancelled": "TaskRunCancelled"}
    tasks = [
        {
            "metadata": {"name": name, "labels": {"tekton.dev/pipelineTask": name}},
            "status": {
                **condition("False" if end in reasons else "True", reasons.get(end, "Succeeded")),
                "results": [
                    {"name": key, "value": value}
                    for key, value in _outputs(name, end, ends).items()
                ],
            },
        }
        for name, end in ends.items()
        if end != "skipped"
    ]
    word = _run_word(ends)
    run_reason = {"cancelled": "Cancelled", "failed": "Failed", "done": "Completed"}[word]
    spec = {"tasks": [{"name": name} for name in NAMES], "finally": [{"name": "finalize"}]}
    run = {
        "metadata": {"name": "r"},
        "spec": {"pipelineSpec": spec, "status": "CancelledRunFinally" * (word == "cancelled")},
        "status": condition("True" if word == "done" else "False", run_reason),
    }
    return Tekton().read("r", run, tasks)


def _argo(ends: Ends) -> RunStatus:
    phases = {"failed": "Failed", "cancelled": "Failed", "skipped": "Skipped"}
    stopped = {"cancelled": "workflow shutdown with strategy:  Stop"}
    nodes = {
        name: {
            "id": name,
            "name": name,
            "displayName": name,
            "templateName": name,
            "type": "Skipped" if end == "skipped" else "Pod",
            "phase": phases.get(end, "Succeeded"),
            "message": stopped.get(end, ""),
            "outputs": {
                "parameters": [
                    {"name": key, "value": value}
                    for key, value in _outputs(name, end, ends).items()
                ]
            },
        }
        for name, end in ends.items()
    }
    word = _run_word(ends)
    dag = {"name": "main", "dag": {"tasks": [{"name": name} for name in NAMES]}}
    spec = {"entrypoint": "main", "onExit": "finalize", "templates": [dag]}
    shutdown = {"shutdown": "Stop"} if word == "cancelled" else {}
    status = {"phase": "Succeeded" if word == "done" else "Failed", "nodes": nodes}
    run = {"metadata": {"name": "r"}, "spec": spec | shutdown, "status": status}
    return Argo().read("r", run, [])


def _kfp(ends: Ends) -> RunStatus:
    words = {"failed": "FAILED", "cancelled": "CANCELED", "skipped": "SKIPPED"}
    details = [
        {"display_name": name, "state": words.get(end, "SUCCEEDED")} for name, end in ends.items()
    ]
    state = {"cancelled": "CANCELED", "failed": "FAILED", "done": "SUCCEEDED"}[_run_word(ends)]
    return read_kfp("r", {"state": state, "run_details": {"task_details": details}}, GRAPH)


def _local(ends: Ends) -> RunStatus:
    words = {
        "failed": TaskState.FAILED,
        "cancelled": TaskState.CANCELLED,
        "skipped": TaskState.SKIPPED,
    }
    ended = {
        name: Ended(words.get(end, TaskState.SUCCEEDED), _outputs(name, end, ends))
        for name, end in ends.items()
    }
    page = page_to_json(first_page("r", GRAPH))
    for task in page["tasks"]:
        one = ended[task["name"]]
        task |= {"state": one.state.value, "outputs": dict(one.outputs)}
    page["state"] = run_state(ended.values()).value
    return page_from_json(page).run


ENGINES = {"tekton": _tekton, "argo": _argo, "kfp": _kfp, "local": _local}


def _expected(ends: Ends) -> ReleaseState:
    if ends["promote"] == "promoted":
        return ReleaseState.PROMOTED
    if "cancelled" in ends.values():
        return ReleaseState.CANCELLED
    return ReleaseState.ROLLED_BACK if ends["rollback"] == "rolled_back" else ReleaseState.FAILED


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_end_is_the_same_release(engine: str) -> None:
    seen = set()
    for way in WAYS:
        ends = {**BEFORE, **dict(zip(LAST, way, strict=True))}
        run = ENGINES[engine](ends)
        assert run.at_the_end == {run.tasks[-1].name} == {"finalize"}
        found = final_state(run, read_facts(run.tasks))
        assert found is _expected(ends), (way, run)
        seen.add(found)
    assert len(seen) == 4
