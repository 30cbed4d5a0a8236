"""What Argo's words mean.

They mislead (recorded on Argo 3.7): a stopped workflow is ``Failed`` or ``Error``, and so is each
task that ran; a task that wrote no output is ``Error``; a task that follows a failed one is
``Omitted``. A workflow whose nodes are offloaded to a database tells nothing of its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from coalmine.engines.argo.nodes import Node, own_nodes
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus

__all__ = ["ENDED", "read_run"]

Object = Mapping[str, Any]
ENDED = {"Succeeded", "Failed", "Error"}
STATES = {
    "Pending": TaskState.PENDING,
    "Running": TaskState.RUNNING,
    "Succeeded": TaskState.SUCCEEDED,
    "Skipped": TaskState.SKIPPED,
    "Omitted": TaskState.SKIPPED,
    "Failed": TaskState.FAILED,
    "Error": TaskState.FAILED,
}
OFFLOADED = (
    "Argo keeps what its tasks did in a database, where it cannot be read from here; "
    "switch nodeStatusOffLoad off"
)
KILLED = "exit code 143"


def read_run(run_id: str, run: Object) -> RunStatus:
    """Read a Workflow.

    Args:
        run_id: Its id.
        run: The Workflow, with the names of its tasks in ``spec.order``, and that of its exit
            handler, if any, in ``spec.onExit``.
    """
    state = _run_state(run)
    nodes = own_nodes(run)
    names = [*run["spec"]["order"], *(name for name in nodes if name not in run["spec"]["order"])]
    stopped = bool(run["spec"]["shutdown"])
    found = tuple(_task(name, nodes.get(name), state, stopped=stopped) for name in names)
    last = frozenset([run["spec"]["onExit"]] if run["spec"]["onExit"] else [])
    return RunStatus(run_id, state, found, _message(run, state, found), at_the_end=last)


def _run_state(run: Object) -> RunState:
    phase = run["status"].get("phase", "")
    if phase not in ENDED:
        return RunState.RUNNING if phase == "Running" else RunState.PENDING
    if phase == "Succeeded":
        return RunState.SUCCEEDED
    return RunState.CANCELLED if run["spec"]["shutdown"] else RunState.FAILED


def _task(name: str, node: Node | None, run: RunState, *, stopped: bool) -> TaskStatus:
    if node is None:
        if run.ended:
            return TaskStatus(name, TaskState.SKIPPED, message="the run ended before it")
        return TaskStatus(name)
    whole = node.whole
    state = STATES.get(whole.get("phase", ""), TaskState.PENDING)
    message = _why(node)
    if state is TaskState.FAILED and stopped and _was_stopped(message):
        state = TaskState.CANCELLED
    skipped = state is TaskState.SKIPPED
    return TaskStatus(
        name,
        state,
        attempts=len(node.tries),
        started=None if skipped else _moment(whole.get("startedAt")),
        ended=_moment(whole.get("finishedAt")),
        outputs=_outputs(whole) if state is TaskState.SUCCEEDED else {},
        message=message if state.ended and state is not TaskState.SUCCEEDED else "",
    )


def _was_stopped(message: str) -> bool:
    return "shutdown" in message or KILLED in message


def _why(node: Node) -> str:
    last = node.tries[-1].get("message") if node.tries else ""
    return " ".join(str(last or node.whole.get("message") or "").split())


def _outputs(node: Object) -> dict[str, str]:
    written = (node.get("outputs") or {}).get("parameters") or ()
    return {one["name"]: str(one["value"]) for one in written if "value" in one}


def _message(run: Object, state: RunState, tasks: Sequence[TaskStatus]) -> str:
    """Say why a run failed: by the first task that did, else by the workflow's own message."""
    status = run["status"]
    if state.ended and status.get("offloadNodeStatusVersion") and not status["nodes"]:
        return OFFLOADED
    if state is RunState.CANCELLED:
        return "the run was cancelled"
    if state is not RunState.FAILED:
        return ""
    failed = [f"{task.name}: {task.message}" for task in tasks if task.state is TaskState.FAILED]
    return failed[0] if failed else str(status.get("message") or status.get("phase"))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
