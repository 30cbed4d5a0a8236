"""What real clusters said of runs, word for word, and what we make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine.engines.protocol import RunState, RunStatus, TaskState
from tests.engines.kubefix import DIALECTS, make_engine, wait_ended
from tests.engines.replay import RUN, play, recorded
from tests.kubeapi.server import KubeApi, serve

DONE, FAILED, CANCELLED, SKIPPED = (
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.SKIPPED,
)
ENDS = {
    "tekton-promote": (RunState.SUCCEEDED, "", {"promote": DONE, "rollback": SKIPPED}),
    "tekton-rollback": (RunState.SUCCEEDED, "", {"promote": SKIPPED, "rollback": DONE}),
    "tekton-retries-exhausted": (
        RunState.FAILED,
        'canary: "step-canary" exited with code 7: Error',
        {"canary": FAILED, "gate": SKIPPED, "finalize": DONE},
    ),
    "tekton-task-timeout": (RunState.FAILED, 'failed to finish within "6s"', {"canary": FAILED}),
    "tekton-tasks-timeout": (
        RunState.FAILED,
        "has timed out",
        {"canary": FAILED, "finalize": DONE},
    ),
    "tekton-cancel-run-finally": (
        RunState.CANCELLED,
        "cancelled",
        {"canary": CANCELLED, "gate": SKIPPED, "finalize": DONE},
    ),
    "tekton-cancel-then-stop": (RunState.CANCELLED, "cancelled", {"gate": SKIPPED}),
    "tekton-stopped-run-finally": (
        RunState.CANCELLED,
        "cancelled",
        {"canary": DONE, "gate": SKIPPED, "finalize": DONE},
    ),
    "tekton-gate-writes-no-result": (
        RunState.FAILED,
        'task "gate" completed successfully but did not emit the result "verdict',
        {"gate": DONE, "promote": SKIPPED, "finalize": DONE},
    ),
    # A final line break is part of a verdict on Tekton, and makes it another.
    "tekton-verdict-trailing-newline": (
        RunState.SUCCEEDED,
        "",
        {"gate": DONE, "promote": SKIPPED, "rollback": DONE, "finalize": DONE},
    ),
    "tekton-result-3000-bytes": (RunState.SUCCEEDED, "", {"big": DONE, "after": DONE}),
    "tekton-result-5000-bytes": (RunState.FAILED, 'big: "step-big" exited', {"big": FAILED}),
    "argo-promote": (RunState.SUCCEEDED, "", {"promote": DONE, "rollback": SKIPPED}),
    "argo-rollback": (RunState.SUCCEEDED, "", {"promote": SKIPPED, "rollback": DONE}),
    "argo-retries-exhausted": (
        RunState.FAILED,
        "canary: main: Error (exit code 7)",
        {"canary": FAILED, "gate": SKIPPED, "finalize": DONE},
    ),
    "argo-task-timeout": (RunState.FAILED, "longer than the specified", {"canary": FAILED}),
    "argo-workflow-deadline": (RunState.FAILED, "", {"finalize": DONE, "gate": SKIPPED}),
    "argo-stop": (RunState.CANCELLED, "cancelled", {"canary": CANCELLED, "finalize": DONE}),
    "argo-terminate": (RunState.CANCELLED, "cancelled", {"canary": CANCELLED, "finalize": SKIPPED}),
    # Argo trims one. Of two, one is left; the bare `when` of the recording minds neither.
    "argo-verdict-trailing-newline": (
        RunState.SUCCEEDED,
        "",
        {"promote": DONE, "rollback": SKIPPED, "finalize": DONE},
    ),
    "argo-verdict-two-newlines": (
        RunState.SUCCEEDED,
        "",
        {"promote": DONE, "rollback": SKIPPED, "finalize": DONE},
    ),
    "argo-gate-writes-no-output": (
        RunState.FAILED,
        "gate: wait: Error (exit code 64)",
        {"gate": FAILED, "promote": SKIPPED, "finalize": DONE},
    ),
}


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serve() as running:
        yield running


@pytest.mark.parametrize("name", ENDS)
def test_a_recorded_run_ends_as_it_did(api: KubeApi, tmp_path: Path, name: str) -> None:
    engine = make_engine(api, tmp_path, name.partition("-")[0])
    engine.open()
    changes = play(api, name)
    next(changes)
    assert engine.status(RUN)
    for _ in changes:
        pass
    found = wait_ended(engine)
    state, message, tasks = ENDS[name]
    assert (found.state, message in found.message) == (state, True), found.message
    states = {task.name: task.state for task in found.tasks}
    assert {task: states.get(task) for task in tasks} == tasks
    assert found.tasks[-1].name == "finalize"
    engine.close()


@pytest.mark.parametrize("name", ENDS)
def test_nothing_ends_early_and_no_end_is_taken_back(name: str) -> None:
    dialect = DIALECTS[name.partition("-")[0]]()
    run, before = None, RunStatus(RUN, RunState.PENDING)
    tasks: dict[str, dict[str, Any]] = {}
    for item in recorded(name):
        assert not before.state.ended
        if item["kind"] == "TaskRun":
            tasks[item["metadata"]["name"]] = dialect.slim(item)
        else:
            run = dialect.slim(item)
        if run is None:
            continue
        now = dialect.read(RUN, run, list(tasks.values()))
        ended = {task.name for task in before.tasks if task.state.ended}
        assert ended <= {task.name for task in now.tasks if task.state.ended}
        before = now
    assert before.state.ended


def test_what_tasks_told_is_read() -> None:
    for name in ("tekton-promote", "argo-promote"):
        dialect = DIALECTS[name.partition("-")[0]]()
        last = {item["metadata"]["name"]: item for item in recorded(name)}
        run, *tasks = sorted(last.values(), key=lambda one: one["kind"] == "TaskRun")
        found = {task.name: task for task in dialect.read(RUN, run, tasks).tasks}
        assert found["gate"].outputs == {"verdict": "promote"}
        assert found["build"].outputs == {"image": "iris:v2"}
        gate = found["gate"]
        assert gate.started is not None
        assert gate.ended is not None
        assert gate.started < gate.ended


@pytest.mark.parametrize("name", ["tekton-retries-exhausted", "argo-retries-exhausted"])
def test_tries_are_counted(name: str) -> None:
    dialect = DIALECTS[name.partition("-")[0]]()
    last = {item["metadata"]["name"]: item for item in recorded(name)}
    run, *tasks = sorted(last.values(), key=lambda one: one["kind"] == "TaskRun")
    found = {task.name: task.attempts for task in dialect.read(RUN, run, tasks).tasks}
    assert (found["canary"], found["build"], found["gate"]) == (3, 1, 0)
