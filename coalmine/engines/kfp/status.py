"""What Kubeflow Pipelines tells of a run, and what follows from it.

Its API tells how tasks ended, but not what they wrote: output parameters stand in a store of its
own. What a condition asked for follows from which task ran: behind ``verdict == "promote"`` it was
``promote``. And a task that runs a step of ours has come to what that step is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, TaskOutputRef
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus

__all__ = ["read_run"]

Object = Mapping[str, Any]
RUNS = {
    "RUNNING": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "SKIPPED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.CANCELLED,
}
TASKS = {
    "RUNNING": TaskState.RUNNING,
    "CANCELING": TaskState.RUNNING,
    "SUCCEEDED": TaskState.SUCCEEDED,
    "SKIPPED": TaskState.SKIPPED,
    "FAILED": TaskState.FAILED,
    "CANCELED": TaskState.CANCELLED,
}
OUTCOMES = {"promote": "promoted", "rollback": "rolled_back"}
"""What it means that a step of this name has succeeded."""
STEP = (("coalmine",), ("step",))
NEVER = 1970
"""Moments that are not known yet are those of 1970 in its answers."""


def read_run(run_id: str, run: Object, graph: Graph) -> RunStatus:
    """Read a run.

    Args:
        run_id: Its id.
        run: As the API gives it, with ``run_details``.
        graph: Its pipeline.
    """
    state = RUNS.get(run.get("state", ""), RunState.PENDING)
    details = {one.get("display_name"): one for one in _details(run)}
    tasks = [*graph.tasks, *([graph.exit_task] if graph.exit_task else [])]
    found = [_task(task.name, details.get(task.name), state) for task in tasks]
    outputs = _outputs(tasks, {one.name for one in found if one.state is TaskState.SUCCEEDED})
    told = tuple(_with(one, outputs.get(one.name, {})) for one in found)
    last = frozenset([graph.exit_task.name] if graph.exit_task else [])
    return RunStatus(run_id, state, told, _message(run, state, told), at_the_end=last)


def _details(run: Object) -> Sequence[Object]:
    return (run.get("run_details") or {}).get("task_details") or ()


def _task(name: str, detail: Object | None, run: RunState) -> TaskStatus:
    if detail is None:
        if run.ended:
            return TaskStatus(name, TaskState.SKIPPED, message="the run ended without it")
        return TaskStatus(name)
    state = TASKS.get(detail.get("state", ""), TaskState.PENDING)
    begun = state not in {TaskState.PENDING, TaskState.SKIPPED}
    return TaskStatus(
        name,
        state,
        attempts=int(begun),
        started=_moment(detail.get("start_time")) if begun else None,
        ended=_moment(detail.get("end_time")) if state.ended else None,
        message=_said(detail) if state is not TaskState.SUCCEEDED else "",
    )


def _said(item: Object) -> str:
    return " ".join(str((item.get("error") or {}).get("message", "")).split())


def _with(task: TaskStatus, outputs: Mapping[str, str]) -> TaskStatus:
    if not outputs:
        return task
    return TaskStatus(
        task.name, task.state, task.attempts, task.started, task.ended, outputs, task.message
    )


def _outputs(tasks: Iterable[Task], succeeded: set[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for task in tasks:
        if task.name not in succeeded:
            continue
        for name, output, text in _asked(task):
            found.setdefault(name, {})[output] = text
        if outcome := _outcome(task):
            found.setdefault(task.name, {})["outcome"] = outcome
    return found


def _asked(task: Task) -> Iterable[tuple[str, str, str]]:
    for condition in task.when:
        match condition:
            case Comparison(TaskOutputRef(name, output), Operator.EQUAL, Constant(text)):
                yield name, output, text


def _outcome(task: Task) -> str:
    *words, name = task.command[:3] or ((),)
    return OUTCOMES.get(str(name[0]), "") if tuple(words) == STEP and len(name) == 1 else ""


def _message(run: Object, state: RunState, tasks: Sequence[TaskStatus]) -> str:
    if state is RunState.CANCELLED:
        return "the run was cancelled"
    if state is not RunState.FAILED:
        return ""
    failed = [one for one in tasks if one.state is TaskState.FAILED]
    if failed and failed[0].message:
        return f"{failed[0].name}: {failed[0].message}"
    return _said(run) or (f"{failed[0].name} failed" if failed else "the run failed")


def _moment(text: str | None) -> datetime | None:
    found = datetime.fromisoformat(text) if text else None
    return found if found and found.year != NEVER else None
