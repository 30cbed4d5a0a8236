"""A run whose exit task was kept from running: it is run alone, and the two are told of as one.

Kubeflow Pipelines starts no task in a run that was terminated. Tekton and Argo run the task at the
end where we end a run, but not where a person does by ``Cancelled`` or ``Terminate``. The canary
would stay.
"""

from __future__ import annotations

from dataclasses import replace

from coalmine.engines.protocol import RunState, RunStatus, TaskState

__all__ = ["exit_run_of", "lacks_exit", "unclean", "with_exit"]

DONE = {TaskState.SUCCEEDED, TaskState.FAILED}


def exit_run_of(run_id: str) -> str:
    """Name the run of the exit task alone."""
    return f"{run_id}-exit"


def lacks_exit(run: RunStatus) -> bool:
    """Tell whether a run has done something and is over, and no task at the end came to its own."""
    ends = [task.state for task in run.tasks if task.name in run.at_the_end]
    begun = any(task.attempts for task in run.tasks if task.name not in run.at_the_end)
    return run.state.ended and begun and bool(ends) and not DONE & set(ends)


def with_exit(run: RunStatus, after: RunStatus | None) -> RunStatus:
    """Tell of a run together with that of its exit task; None while that is yet to begin."""
    if after is None:
        return replace(run, state=RunState.RUNNING, message="")
    ends = {task.name: task for task in after.tasks if task.name in run.at_the_end}
    tasks = tuple(ends.get(task.name, task) for task in run.tasks)
    if not after.state.ended:
        return replace(run, state=RunState.RUNNING, tasks=tasks, message="")
    problem = f"; {after.message}" if after.state is not RunState.SUCCEEDED else ""
    return replace(run, tasks=tasks, message=f"{run.message}{problem}")


def unclean(run: RunStatus) -> RunStatus:
    """Say that the exit task cannot be run alone, so that somebody looks for the canary."""
    names = " and ".join(sorted(run.at_the_end))
    return replace(run, message=f"{run.message}; {names} could not be run, look for the canary")
