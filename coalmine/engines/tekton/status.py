"""What Tekton's words mean.

They mislead (recorded on Tekton 1.15): ``Completed`` is a success with skipped tasks, and can be
said of a run that was stopped, too; a task that wrote no result succeeds, and the run fails with
``PipelineValidationFailed``; tasks of a run that timed out are ``TaskRunCancelled``. So states come
from the condition's status, what was asked of the run, and why tasks were skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from coalmine.compiler.tekton_results import output_name
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus

__all__ = ["condition_of", "read_run", "task_of"]

Object = Mapping[str, Any]
PIPELINE_TASK = "tekton.dev/pipelineTask"
ENDED = {"True", "False"}
ON_REQUEST = {"Cancelled", "CancelledRunFinally", "StoppedRunFinally"}
SKIPPED_FOR_IT = ("gracefully", "stopping")
TIMED_OUT = "has timed out"


def condition_of(item: Object) -> Object:
    """Give the condition that says how a run or task went; empty before there is one."""
    conditions = item.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == "Succeeded"), {})


def task_of(item: Object) -> str:
    """Name the pipeline's task that a TaskRun is for."""
    return str(item["metadata"].get("labels", {}).get(PIPELINE_TASK, ""))


def read_run(run_id: str, run: Object, tasks: Sequence[Object]) -> RunStatus:
    """Read a PipelineRun and its TaskRuns.

    Args:
        run_id: Its id.
        run: The PipelineRun, with the names of its tasks in ``spec.pipelineSpec``.
        tasks: Its TaskRuns, in any order.
    """
    state = _run_state(run)
    by_name = {task_of(item): item for item in tasks}
    skipped = _skipped(run)
    pipeline = run["spec"]["pipelineSpec"]
    last = [one["name"] for one in pipeline["finally"]]
    names = [*(one["name"] for one in pipeline["tasks"]), *last]
    found = tuple(_task(name, by_name.get(name), skipped, state) for name in names)
    message = _message(run, state, found)
    return RunStatus(run_id, state, found, message, _results(run), frozenset(last))


def _run_state(run: Object) -> RunState:
    condition = condition_of(run)
    status = condition.get("status")
    if status not in ENDED:
        return RunState.RUNNING if status else RunState.PENDING
    asked = run["spec"].get("status") in ON_REQUEST
    if status == "True":
        return RunState.CANCELLED if asked and _was_cut(run) else RunState.SUCCEEDED
    cancelled = condition.get("reason") in ON_REQUEST or (asked and _was_cut(run))
    return RunState.CANCELLED if cancelled else RunState.FAILED


def _skipped(run: Object) -> dict[str, str]:
    return {one["name"]: one.get("reason", "") for one in run["status"].get("skippedTasks") or []}


def _was_cut(run: Object) -> bool:
    return any(word in why for why in _skipped(run).values() for word in SKIPPED_FOR_IT)


def _task(
    name: str, item: Object | None, skipped: Mapping[str, str], state: RunState
) -> TaskStatus:
    if item is None:
        if name in skipped:
            return TaskStatus(name, TaskState.SKIPPED, message=skipped[name])
        if state.ended:
            return TaskStatus(name, TaskState.SKIPPED, message="the run ended before it")
        return TaskStatus(name)
    status = item.get("status", {})
    tries = status.get("retriesStatus") or []
    found = _task_state(item)
    return TaskStatus(
        name,
        found,
        attempts=len(tries) + bool(status.get("startTime")),
        started=_moment((tries[0] if tries else status).get("startTime")),
        ended=_moment(status.get("completionTime")),
        outputs=_results(item) if found is TaskState.SUCCEEDED else {},
        message=_why(item) if found in {TaskState.FAILED, TaskState.CANCELLED} else "",
    )


def _task_state(item: Object) -> TaskState:
    condition = condition_of(item)
    match condition.get("status"):
        case "True":
            return TaskState.SUCCEEDED
        case "False":
            cancelled = condition.get("reason") == "TaskRunCancelled"
            timed_out = TIMED_OUT in condition.get("message", "")
            return TaskState.CANCELLED if cancelled and not timed_out else TaskState.FAILED
    begun = condition.get("reason") not in {None, "Pending", "Started"}
    return TaskState.RUNNING if begun else TaskState.PENDING


def _why(item: Object) -> str:
    condition = condition_of(item)
    said = " ".join(str(condition.get("message", "")).split())
    return said or str(condition.get("reason", ""))


def _message(run: Object, state: RunState, tasks: Sequence[TaskStatus]) -> str:
    """Say why a run failed: by the first task that did, else by the run's own condition."""
    if state is RunState.CANCELLED:
        return "the run was cancelled"
    if state is not RunState.FAILED:
        return ""
    failed = [f"{task.name}: {task.message}" for task in tasks if task.state is TaskState.FAILED]
    return failed[0] if failed else _why(run)


def _results(item: Object) -> dict[str, str]:
    return {output_name(one["name"]): _text(one["value"]) for one in _written(item)}


def _written(item: Object) -> Sequence[Object]:
    return item.get("status", {}).get("results") or ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
