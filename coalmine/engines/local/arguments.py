"""What each task of a run takes, and what the run as a whole gives."""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.compiler.graph import Graph
from coalmine.compiler.jsontext import json_text
from coalmine.compiler.task import Task
from coalmine.compiler.value import FinalStatus, OneOf, ParameterRef, RunFact, Value, references
from coalmine.engines.local.ended import Ended, written_by
from coalmine.engines.local.facts import fact, with_task
from coalmine.engines.local.parameters import with_defaults
from coalmine.engines.local.values import value_of
from coalmine.engines.protocol import TaskState

__all__ = ["arguments_of", "outputs_of"]


FAILED_CODE = 1
_BAD = {TaskState.FAILED, TaskState.CANCELLED}


def arguments_of(
    task: Task, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> dict[str, str]:
    """Give the value of each of a task's inputs.

    Raises:
        InputError: An input has neither a value nor a default.
    """
    parameters = with_task(parameters, task)
    given = {
        name: _final_status(value, task, parameters, ended)
        if isinstance(value, FinalStatus)
        else value_of(value, parameters, ended)
        for name, value in task.arguments
        if not (_is_absent(value, parameters) or _is_missing(value, task, ended))
    }
    artifacts = {item.name: given[item.name] for item in task.taken}
    return with_defaults(task.inputs, given, f"task {task.name}") | artifacts


def _is_absent(value: Value, parameters: Mapping[str, str]) -> bool:
    if not isinstance(value, ParameterRef):
        return False
    return value.name not in parameters and value.otherwise is None


def _is_missing(value: Value, task: Task, ended: Mapping[str, Ended]) -> bool:
    """Tell whether a task that was only waited for to end has not written a value."""
    return any(
        found.task in task.behind and found.output not in ended[found.task].outputs
        for found in references(value)
    )


def _final_status(
    value: FinalStatus, task: Task, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> str:
    """Tell how what a task runs behind has ended, as KFP's ``PipelineTaskFinalStatus`` has it.

    A branch that was not taken is no failure.
    """
    before = {name: ended[name] for name in task.behind or ended if name in ended}
    states = {one.state for one in before.values()}
    failed = [f"{name}: {one.message}" for name, one in before.items() if one.state in _BAD]
    state = "CANCELLED" if TaskState.CANCELLED in states else "SUCCEEDED"
    state = "FAILED" if TaskState.FAILED in states else state
    return json_text(
        {
            "state": state,
            "pipelineJobResourceName": parameters.get(fact(RunFact.JOB_NAME), ""),
            "pipelineTaskName": value.name,
            "error": {"code": FAILED_CODE, "message": failed[0]} if failed else {},
        }
    )


def outputs_of(
    graph: Graph, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> dict[str, str]:
    """Give what the pipeline as a whole gives: those of its outputs whose task has succeeded."""
    return {
        name: value_of(value, parameters, ended)
        for name, value in graph.outputs
        if _is_there(value, ended)
    }


def _is_there(value: Value, ended: Mapping[str, Ended]) -> bool:
    written = (item.output in written_by(ended, item.task) for item in references(value))
    return any(written) if isinstance(value, OneOf) else all(written)
