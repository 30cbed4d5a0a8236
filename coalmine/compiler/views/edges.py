"""Who follows whom, with the conditions where they belong: on the way there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from coalmine.compiler.condition import Comparison
from coalmine.compiler.graph import Graph
from coalmine.compiler.order import ancestors, waits_for
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    Gathered,
    Listed,
    LoopItem,
    OneOf,
    ParameterRef,
    TaskOutputRef,
    Value,
    references,
)

__all__ = ["Edge", "edges", "say"]


@dataclass(frozen=True, slots=True)
class Edge:
    """One task follows another.

    Attributes:
        source: The task before; None for the start of the run.
        target: The task behind.
        conditions: What must be true to go this way.
        always: The target runs however the source ended.
    """

    source: str | None
    target: str
    conditions: tuple[Comparison, ...] = ()
    always: bool = False


def edges(graph: Graph) -> list[Edge]:
    """Give the fewest edges that say the order, those of the exit task last.

    A condition stands on the edge from the task whose output it reads, else on the task's first.
    """
    above = ancestors(graph.tasks)
    found = [edge for task in graph.tasks for edge in _into(task, waits_for(task, above))]
    found += [Edge(name, task.name, always=True) for task in graph.tasks for name in task.behind]
    if graph.exit_task is not None:
        sources = {edge.source for edge in found}
        last = [task.name for task in graph.tasks if task.name not in sources]
        found += [Edge(name, graph.exit_task.name, always=True) for name in last]
    return found


def say(condition: Comparison) -> str:
    """Say a condition in a line."""
    left, right = (_side(side, condition.type) for side in (condition.left, condition.right))
    said = f"{left} {condition.operator} {right}"
    return f"not ({said})" if condition.negated else said


def _into(task: Task, before: list[str]) -> list[Edge]:
    passed = sorted(task.follows() - task.depends_on() - set(task.behind))
    if task.behind and not (before or passed or task.when):
        return []
    sources: list[str | None] = [*before, *passed] or [None]
    by_source: dict[str | None, list[Comparison]] = {source: [] for source in sources}
    for condition in task.when:
        sides = (condition.left, condition.right)
        read = {found.task for side in sides for found in references(side)}
        place = next((source for source in sources if source in read), sources[0])
        by_source[place].append(condition)
    return [Edge(source, task.name, tuple(by_source[source])) for source in sources]


def _side(value: Value, kind: ParameterType) -> str:  # noqa: PLR0911 - one for each kind
    match value:
        case Constant(text):
            quoted = kind is ParameterType.STRING
            return json.dumps(text, ensure_ascii=False) if quoted else text
        case ParameterRef(name):
            return name
        case TaskOutputRef(task, output):
            return f"{task}.{output}"
        case OneOf(choices):
            return " or ".join(f"{choice.task}.{choice.output}" for choice in choices)
        case LoopItem(loop, path):
            return ".".join((f"item of {loop}", *path))
        case Gathered(loop, inner):
            return f"each {_side(inner, kind)} of {loop}"
        case Listed(values):
            return f"[{', '.join(_side(inner, kind) for inner in values)}]"
        case _:
            raise TypeError(f"{value} is not compared")
