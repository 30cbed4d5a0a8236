"""What a run does next: a pure decision over the graph and what has ended so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coalmine.compiler.compare import holds
from coalmine.compiler.condition import Condition
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.items import read_items
from coalmine.compiler.loops import expand
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, OneOf, ParameterRef, TaskOutputRef, Value, references
from coalmine.engines.local.ended import Ended, written_by
from coalmine.engines.local.values import chosen, value_of
from coalmine.engines.protocol import TaskState

__all__ = ["Move", "next_move", "unrolled"]


_PAST = {
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "was skipped",
    TaskState.CANCELLED: "was cancelled",
}


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
            loop.name: read_items(value_of(loop.items, parameters, ended), loop=loop.name)
            for loop in due
        }
        graph = expand(graph, lists)
    return graph


def _is_due(loop: Loop, ended: Mapping[str, Ended]) -> bool:
    found = references(loop.items)
    return not loop.loops and all(item.output in written_by(ended, item.task) for item in found)


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
        if isinstance(value, OneOf) and chosen(value, ended) is None:
            names = ", ".join(choice.task for choice in value.choices)
            return f"none of the tasks that it could take a value from ran: {names}"
    false = (when for when in task.when if not _is_true(when, parameters, ended))
    return next((f"not needed: {_say(when, parameters, ended)}" for when in false), "")


def _is_true(
    condition: Condition, parameters: Mapping[str, str], ended: Mapping[str, Ended]
) -> bool:
    return holds(condition, lambda value: value_of(value, parameters, ended))


def _say(condition: Condition, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    """Say what the values are by which a condition is false, each by its owner's name."""
    sides = (condition.left, condition.right)
    said = [
        f"{_named(side)} is {value_of(side, parameters, ended)!r}"
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
