"""Undo loops: once the items of one are known, its tasks become as many as it has turns.

The local engine does this while a run goes on, as soon as the list is there. For Tekton it is done
when a pipeline is compiled, so only with lists that are known then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.compare import read
from coalmine.compiler.graph import (
    Constant,
    Gathered,
    Graph,
    Listed,
    Loop,
    LoopItem,
    ParameterType,
    Task,
    TaskOutputRef,
    Turn,
    Value,
    map_value,
)
from coalmine.compiler.jsontext import json_text, number_text

__all__ = [
    "expand",
    "expand_constants",
    "item_text",
    "list_text",
    "read_items",
    "turn_name",
]


def turn_name(name: str, turn: int) -> str:
    """Name what a task or a loop becomes in a turn, counted from zero."""
    return f"{name}-it-{turn}"


def read_items(text: str, *, loop: str) -> list[Any]:
    """Read the list that a loop goes over.

    Raises:
        InputError: It is no JSON list.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise InputError(
            f"the loop {loop!r} goes over {text[:60]!r}, which is no list",
            fix='give a JSON list, such as ["a", "b"]',
        )
    return found


def item_text(item: Any, path: Sequence[str], *, loop: str) -> str:  # noqa: ANN401 - whatever JSON holds
    """Write an item, or what stands in it under keys, as the text that a task gets.

    Raises:
        InputError: It has no such key.
    """
    for key in path:
        if not isinstance(item, dict) or key not in item:
            raise InputError(
                f"the loop {loop!r} takes {key!r} of {json.dumps(item)[:60]}, which has none",
                fix="give every item the same keys",
            )
        item = item[key]
    match item:
        case str():
            return item
        case int() | float() if not isinstance(item, bool):
            return number_text(item)
        case _:
            return json_text(item)


def list_text(texts: Sequence[str], kind: ParameterType) -> str:
    """Write texts of values of a type as a JSON list."""
    if kind is ParameterType.STRING:
        return json_text(list(texts))
    if kind is ParameterType.BOOLEAN:
        return json_text([read(text, kind) for text in texts])
    return json_text([json.loads(text) for text in texts])


def expand_constants(graph: Graph) -> Graph:
    """Undo every loop over a list that is known when the pipeline is compiled.

    A limit becomes an order: a turn waits for the one that is as many turns before it.

    Raises:
        InputError: A loop goes over something that is known only in a run.
    """
    while graph.loops:
        loop = next(loop for loop in graph.loops if not loop.loops)
        if not isinstance(loop.items, Constant):
            return graph
        graph = expand(graph, loop.name, read_items(loop.items.value, loop=loop.name), wait=True)
    return graph


def expand(graph: Graph, name: str, items: Sequence[Any], *, wait: bool = False) -> Graph:
    """Replace the tasks and loops in an outermost loop by those of each of its turns.

    Args:
        graph: A graph with the loop.
        name: The loop.
        items: What it goes over.
        wait: Whether its limit is kept by letting turns wait for each other.

    Raises:
        InputError: An item is not what the tasks take.
    """
    loop = next(loop for loop in graph.loops if loop.name == name)
    body = [task for task in graph.tasks if task.loops[:1] == (name,)]
    inner = [other for other in graph.loops if other.loops[:1] == (name,)]
    inside = {task.name for task in body} | {other.name for other in inner}
    turns = [_Turn(Turn(name, at, loop.limit), item, inside) for at, item in enumerate(items)]
    made = [[turn.task(task) for task in body] for turn in turns]
    if wait and loop.limit:
        made = [_behind(made, at, loop.limit) for at in range(len(made))]
    whole = _Whole(name, inside, turns)
    tasks: list[Task] = []
    for task in graph.tasks:
        if task.name not in inside:
            tasks.append(whole.task(task))
        elif task is body[-1]:
            tasks += [one for turn in made for one in turn]
    return replace(
        graph,
        tasks=tuple(tasks),
        exit_task=whole.task(graph.exit_task) if graph.exit_task else None,
        outputs=tuple((key, map_value(value, whole.value)) for key, value in graph.outputs),
        loops=tuple(found for other in graph.loops for found in _loops_of(other, whole)),
    )


def _loops_of(other: Loop, whole: _Whole) -> list[Loop]:
    if other.name == whole.name:
        return []
    if other.name in whole.inside:
        return [turn.loop(other) for turn in whole.turns]
    return [replace(other, items=map_value(other.items, whole.value))]


def _behind(made: list[list[Task]], at: int, limit: int) -> list[Task]:
    """Let a turn begin when the one before whose place it takes has ended."""
    before = [task.name for task in made[at - limit]] if at >= limit else []
    return [replace(task, passed=(*task.passed, *before)) for task in made[at]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn of a loop: what names and values become in it."""

    turn: Turn
    item: Any
    inside: set[str]

    def rename(self, name: str) -> str:
        return turn_name(name, self.turn.at) if name in self.inside else name

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self.rename(name) for name in names)

    def value(self, value: Value) -> Value:
        match value:
            case TaskOutputRef(task, output):
                return TaskOutputRef(self.rename(task), output)
            case LoopItem(loop, path, _) if loop == self.turn.loop:
                return Constant(item_text(self.item, path, loop=loop))
            case LoopItem(loop, path, kind):
                return LoopItem(self.rename(loop), path, kind)
            case Gathered(loop, inner, kind):
                return Gathered(self.rename(loop), inner, kind)
            case _:
                return value

    def task(self, task: Task) -> Task:
        return replace(
            task.with_values(self.value),
            name=self.rename(task.name),
            loops=self.names(task.loops[1:]),
            turns=(*task.turns, self.turn),
            after=self.names(task.after),
            passed=self.names(task.passed),
            behind=self.names(task.behind),
        )

    def loop(self, loop: Loop) -> Loop:
        return replace(
            loop,
            name=self.rename(loop.name),
            items=map_value(loop.items, self.value),
            loops=self.names(loop.loops[1:]),
        )


@dataclass(frozen=True, slots=True)
class _Whole:
    """All turns of a loop, as whoever stands outside sees them."""

    name: str
    inside: set[str]
    turns: Sequence[_Turn]

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(found for name in names for found in self._turns_of(name))

    def _turns_of(self, name: str) -> list[str]:
        return [turn.rename(name) for turn in self.turns] if name in self.inside else [name]

    def value(self, value: Value) -> Value:
        if not isinstance(value, Gathered) or value.loop != self.name:
            return value
        return Listed(tuple(map_value(value.value, turn.value) for turn in self.turns), value.type)

    def task(self, task: Task) -> Task:
        if self.inside.isdisjoint(task.follows()):
            return task
        return replace(
            task.with_values(self.value),
            after=self.names(task.after),
            passed=self.names(task.passed),
            behind=self.names(task.behind),
        )
