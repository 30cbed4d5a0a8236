"""What a run does next: a pure decision over the graph and what has ended so far."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coalmine._base.errors import InputError
from coalmine.compiler.compare import holds, normal
from coalmine.compiler.condition import Condition
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.jsontext import json_text
from coalmine.compiler.loops import expand, list_text, read_items
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Imported,
    Joined,
    Listed,
    OneOf,
    ParameterRef,
    RunFact,
    TaskOutputRef,
    Value,
    references,
)
from coalmine.engines.protocol import RunState, TaskState

__all__ = [
    "Ended",
    "Move",
    "arguments_of",
    "fact",
    "facts_of",
    "next_move",
    "outputs_of",
    "parameters_of",
    "run_state",
    "unrolled",
    "with_task",
]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task came to its end.

    Attributes:
        state: How.
        outputs: What it has written.
        message: Why, if it is no success.
        task: Its name, where it is not known otherwise.
    """

    state: TaskState
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """What can be done now.

    Attributes:
        ready: Tasks that can start, in the graph's order.
        skipped: Tasks that will never start, and why.
    """

    ready: tuple[str, ...]
    skipped: Mapping[str, str]


def unrolled(graph: Graph, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> Graph:
    """Undo every loop whose list is known by now; a loop within follows once its own is.

    Raises:
        InputError: The list of a loop is none, or an item is not what its tasks take.
    """
    while due := [loop for loop in graph.loops if _is_due(loop, ended)]:
        lists = {
            loop.name: read_items(_value(loop.items, parameters, ended), loop=loop.name)
            for loop in due
        }
        graph = expand(graph, lists)
    return graph


def _is_due(loop: Loop, ended: Mapping[str, Ended]) -> bool:
    found = references(loop.items)
    return not loop.loops and all(item.output in _outputs(ended, item.task) for item in found)


def next_move(graph: Graph, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> Move:
    """Decide which tasks can start and which never will.

    Args:
        graph: The pipeline.
        parameters: Every parameter's value.
        ended: The tasks that have ended; the exit task plays no part.

    Returns:
        A move without anything in it once every task has ended. A task that waits for a skipped
        one is skipped in the same move.
    """
    ready: list[str] = []
    skipped: dict[str, str] = {}
    for task in graph.tasks:
        if task.name in ended:
            continue
        reason = _reason_to_skip(task, parameters, ended, skipped)
        if reason:
            skipped[task.name] = reason
        elif not task.loops and task.follows() <= ended.keys():
            ready.append(task.name)
    return Move(tuple(ready), skipped)


def _reason_to_skip(
    task: Task,
    parameters: Mapping[str, str],
    ended: Mapping[str, Ended],
    skipped: Mapping[str, str],
) -> str:
    """Tell why a task will never start; empty while it still may."""
    for name in sorted(task.depends_on()):
        if name in skipped:
            return f"{name}, which it waits for, was skipped"
        if name in ended and ended[name].state is not TaskState.SUCCEEDED:
            return f"{name}, which it waits for, {_PAST[ended[name].state]}"
    for name in task.passed:
        if name in ended and ended[name].state in {TaskState.FAILED, TaskState.CANCELLED}:
            return f"{name}, which it waits for, {_PAST[ended[name].state]}"
    if task.loops or not task.follows() <= ended.keys():
        return ""
    return _reason_in_values(task, parameters, ended)


def _reason_in_values(task: Task, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    for value in task.values():
        if isinstance(value, OneOf) and _chosen(value, ended) is None:
            names = ", ".join(choice.task for choice in value.choices)
            return f"none of the tasks that it could take a value from ran: {names}"
    false = (when for when in task.when if not _is_true(when, parameters, ended))
    return next((f"not needed: {_say(when, parameters, ended)}" for when in false), "")


def _chosen(value: OneOf, ended: Mapping[str, Ended]) -> TaskOutputRef | None:
    ran = (item for item in value.choices if ended[item.task].state is TaskState.SUCCEEDED)
    return next(ran, None)


FAILED_CODE = 1
_BAD = {TaskState.FAILED, TaskState.CANCELLED}
_PAST = {
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.CANCELLED: "was cancelled",
}


def _is_true(
    condition: Condition, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> bool:
    return holds(condition, lambda value: _value(value, parameters, ended))


def _say(condition: Condition, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    """Say what the values are by which a condition is false, each by its owner's name."""
    sides = (condition.left, condition.right)
    said = [
        f"{_named(side)} is {_value(side, parameters, ended)!r}"
        for side in sides
        if not isinstance(side, Constant)
    ]
    return " and ".join(said) or "its condition never holds"


def _named(value: Value) -> str:
    match value:
        case TaskOutputRef(task, output):
            return f"{task}'s {output}"
        case ParameterRef(name):
            return f"the parameter {name}"
        case OneOf(choices):
            return f"the output of {' or '.join(choice.task for choice in choices)}"
        case _:
            return "a value of a loop"


def _value(value: Value, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, ParameterRef):
        found = parameters.get(value.name, value.otherwise)
        if found is None:
            raise InputError("has no value in this run", field=value.name, fix="give one")
        return found
    if isinstance(value, OneOf):
        value = _chosen(value, ended) or value.choices[0]
    if isinstance(value, Listed | RunFact | Joined | Imported):
        return _composed(value, parameters, ended)
    if not isinstance(value, TaskOutputRef):
        raise TypeError(f"{value} has no value while its loop is not undone")
    task = ended.get(value.task)
    if task is None or value.output not in task.outputs:
        raise InputError(f"the output {value.output} of task {value.task} was never written")
    return task.outputs[value.output]


def _composed(
    value: Listed | RunFact | Joined | Imported,
    parameters: Mapping[str, str],
    ended: Mapping[str, Ended],
) -> str:
    match value:
        case Listed(values, kind):
            return list_text([_value(item, parameters, ended) for item in values], kind)
        case RunFact():
            return parameters[fact(value)]
        case Joined(parts):
            return "".join(_value(part, parameters, ended) for part in parts)
        case Imported():
            return _described(value, _value(value.uri, parameters, ended))


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
        else _value(value, parameters, ended)
        for name, value in task.arguments
        if not (_is_absent(value, parameters) or _is_missing(value, task, ended))
    }
    artifacts = {item.name: given[item.name] for item in task.taken}
    return _with_defaults(task.inputs, given, f"task {task.name}") | artifacts


def fact(name: RunFact) -> str:
    """Name the place of a fact among the parameters, where no parameter can be."""
    return f"{{{{$.{name}}}}}"


def facts_of(run_id: str) -> dict[str, str]:
    """Tell what KFP's placeholders know of a run."""
    names = set(RunFact) - {RunFact.TASK_ID}
    return {fact(name): run_id for name in names}


def with_task(parameters: Mapping[str, str], task: Task) -> dict[str, str]:
    """Add what is known of a task."""
    job = parameters.get(fact(RunFact.JOB_ID), "")
    return {**parameters, fact(RunFact.TASK_ID): f"{job}-{task.name}"}


def _described(value: Imported, uri: str) -> str:
    schema = {"schemaTitle": value.type, "schemaVersion": value.version}
    metadata = json.loads(value.metadata)
    return json_text({"name": "artifact", "type": schema, "uri": uri, "metadata": metadata})


def outputs_of(
    graph: Graph, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> dict[str, str]:
    """Give what the pipeline as a whole gives: those of its outputs whose task has succeeded."""
    return {
        name: _value(value, parameters, ended)
        for name, value in graph.outputs
        if _is_there(value, ended)
    }


def _is_there(value: Value, ended: Mapping[str, Ended]) -> bool:
    written = (item.output in _outputs(ended, item.task) for item in references(value))
    return any(written) if isinstance(value, OneOf) else all(written)


def _outputs(ended: Mapping[str, Ended], task: str) -> Mapping[str, str]:
    return ended[task].outputs if task in ended else {}


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


def parameters_of(graph: Graph, given: Mapping[str, str]) -> dict[str, str]:
    """Give every pipeline parameter its value, and refuse what the pipeline does not take.

    An optional one without a value is left out.

    Raises:
        InputError: A parameter is unknown, missing, or no value of its type.
    """
    known = {parameter.name: parameter for parameter in graph.parameters}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise InputError(
            f"the pipeline {graph.name} takes no such parameter",
            field=unknown[0],
            fix=f"it takes: {', '.join(known)}",
        )
    values = _with_defaults(graph.parameters, given, f"the pipeline {graph.name}")
    return {name: _typed(known[name], value) for name, value in values.items()}


def _with_defaults(
    declared: Iterable[Parameter], given: Mapping[str, str], owner: str
) -> dict[str, str]:
    values: dict[str, str] = {}
    for parameter in declared:
        value = given.get(parameter.name, parameter.default)
        if value is None and parameter.optional:
            continue
        if value is None:
            raise InputError(f"{owner} needs a value", field=parameter.name, fix="give one")
        values[parameter.name] = value
    return values


def _typed(parameter: Parameter, value: str) -> str:
    try:
        return normal(value, parameter.type)
    except InputError as error:
        raise InputError(error.message, field=parameter.name, fix=error.fix) from None


def run_state(ended: Iterable[Ended]) -> RunState:
    """Tell what a run came to once all of its tasks, and its exit task, have ended."""
    states = {one.state for one in ended}
    if TaskState.CANCELLED in states:
        return RunState.CANCELLED
    return RunState.FAILED if TaskState.FAILED in states else RunState.SUCCEEDED
