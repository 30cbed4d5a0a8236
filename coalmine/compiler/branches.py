"""For engines that skip whoever takes a value of a skipped task: one twin of it a branch.

``dsl.OneOf`` takes the value of the branch that ran. Tekton cannot say "the one that there is", so
a task that takes such a value becomes several, one for each branch, of which one runs. What takes
the outputs of those takes one of them in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison
from coalmine.compiler.graph import Graph
from coalmine.compiler.order import inherited_conditions
from coalmine.compiler.task import Task
from coalmine.compiler.value import OneOf, TaskOutputRef, Value, map_value

__all__ = ["split_choices"]

MOST_TWINS = 64

Twins = Mapping[str, tuple[str, ...]]
Chosen = Mapping[OneOf, TaskOutputRef]


def split_choices(graph: Graph) -> Graph:
    """Replace every task that takes a value of one of several by one task for each of them.

    Returns:
        A graph without any ``OneOf`` in its tasks; only its outputs may hold some. A twin is named
        after its task, with the number of its branch behind a dash, counted from one.
    """
    if not any(isinstance(value, OneOf) for task in graph.tasks for value in task.values()):
        return graph
    twins: dict[str, tuple[str, ...]] = {}
    taken = {task.name for task in graph.tasks}
    conditions = inherited_conditions(graph.tasks)
    made: list[Task] = []
    for task in graph.tasks:
        moved = _renamed(task, twins, conditions)
        options = _options(moved)
        if len(options) > MOST_TWINS:
            raise InputError(
                f"task {task.name!r} would become {len(options)} tasks on Tekton, one for each way "
                "in which the values it takes can be chosen",
                fix="take fewer values of dsl.OneOf, or compile for argo or kfp",
            )
        if len(options) == 1:
            made.append(moved)
            continue
        twins[task.name] = _names(task.name, len(options), taken)
        for name, chosen in zip(twins[task.name], options, strict=True):
            made.append(_twin(moved, name, chosen))
    outputs = tuple(
        (name, map_value(value, lambda one: _of_twins(one, twins))) for name, value in graph.outputs
    )
    return replace(graph, tasks=tuple(made), outputs=outputs)


def _options(task: Task) -> list[Chosen]:
    """List the ways to choose; values of the same tasks are chosen together."""
    together: dict[tuple[str, ...], list[OneOf]] = {}
    for value in dict.fromkeys(one for one in task.values() if isinstance(one, OneOf)):
        together.setdefault(tuple(item.task for item in value.choices), []).append(value)
    ways = [
        [{one: one.choices[number] for one in values} for number in range(len(names))]
        for names, values in together.items()
    ]
    return [dict(item for part in way for item in part.items()) for way in product(*ways)]


def _names(name: str, count: int, taken: set[str]) -> tuple[str, ...]:
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        candidate = f"{name}-{number}"
        if candidate not in taken:
            taken.add(candidate)
            found.append(candidate)
    return tuple(found)


def _renamed(task: Task, twins: Twins, conditions: Mapping[str, tuple[Comparison, ...]]) -> Task:
    """Let a task wait for the twins of what it waited for, and take what one of them wrote."""
    if not twins.keys() & task.follows():
        return task
    waited = [name for name in task.after if name in twins]
    when = dict.fromkeys([item for name in waited for item in conditions[name]])
    when |= dict.fromkeys(task.when)

    def of(value: Value) -> Value:
        return _of_twins(value, twins)

    moved = replace(task, when=tuple(when)).with_values(of)
    return replace(
        moved,
        after=tuple(name for name in task.after if name not in twins),
        passed=_all((*task.passed, *waited), twins),
        behind=_all(task.behind, twins),
    )


def _all(names: tuple[str, ...], twins: Twins) -> tuple[str, ...]:
    return tuple(twin for name in names for twin in twins.get(name, (name,)))


def _of_twins(value: Value, twins: Twins) -> Value:
    if isinstance(value, TaskOutputRef) and value.task in twins:
        return OneOf(tuple(TaskOutputRef(name, value.output) for name in twins[value.task]))
    return value


def _twin(task: Task, name: str, chosen: Chosen) -> Task:
    def pick(value: Value) -> Value:
        return chosen[value] if isinstance(value, OneOf) else value

    return replace(task.with_values(pick), name=name)
