"""Undo loops: once the items of one are known, its tasks become as many as it has turns.

The local engine does this while a run goes on, as soon as the list is there. For Tekton it is done
when a pipeline is compiled, so only with lists that are known then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.compare import read
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.jsontext import json_text, number_text
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.task import Task, Turn
from coalmine.compiler.value import (
    Constant,
    Gathered,
    Listed,
    LoopItem,
    TaskOutputRef,
    Value,
    map_value,
)

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
    while lists := {
        loop.name: read_items(loop.items.value, loop=loop.name)
        for loop in graph.loops
        if not loop.loops and isinstance(loop.items, Constant)
    }:
        graph = expand(graph, lists, wait=True)
    return graph


def expand(graph: Graph, lists: Mapping[str, Sequence[Any]], *, wait: bool = False) -> Graph:
    """Replace the tasks and loops in outermost loops by those of each of their turns.

    Args:
        graph: A graph with the loops.
        lists: What each goes over, by its name.
        wait: Whether limits are kept by letting turns wait for each other.

    Raises:
        InputError: An item is not what the tasks take.
    """
    bodies: dict[str, list[Task]] = {name: [] for name in lists}
    for task in graph.tasks:
        if task.loops and task.loops[0] in bodies:
            bodies[task.loops[0]].append(task)
    turns = _turns(graph, lists, bodies)
    whole = _Whole(turns, {name: loop for loop, of in turns.items() for name in of.inside})
    tasks: list[Task] = []
    for task in graph.tasks:
        loop = whole.inside.get(task.name)
        if loop is None:
            tasks.append(whole.task(task))
        elif task is bodies[loop][-1]:
            made = turns[loop].tasks(bodies[loop], wait=wait)
            tasks += [whole.task(one) for one in made]
    return replace(
        graph,
        tasks=tuple(tasks),
        exit_task=whole.task(graph.exit_task) if graph.exit_task else None,
        outputs=tuple((key, map_value(value, whole.value)) for key, value in graph.outputs),
        loops=tuple(found for other in graph.loops for found in _loops_of(other, whole)),
    )


def _turns(
    graph: Graph, lists: Mapping[str, Sequence[Any]], bodies: Mapping[str, Sequence[Task]]
) -> dict[str, _Turns]:
    inside = {name: {task.name for task in body} for name, body in bodies.items()}
    for other in graph.loops:
        if other.loops and other.loops[0] in inside:
            inside[other.loops[0]].add(other.name)
    return {
        loop.name: _Turns(
            inside[loop.name],
            [
                _Turn(Turn(loop.name, at, loop.limit), item, inside[loop.name])
                for at, item in enumerate(lists[loop.name])
            ],
            loop.limit,
        )
        for loop in graph.loops
        if loop.name in lists
    }


def _loops_of(other: Loop, whole: _Whole) -> list[Loop]:
    if other.name in whole.turns:
        return []
    if other.name in whole.inside:
        made = [turn.loop(other) for turn in whole.turns[whole.inside[other.name]].all]
    else:
        made = [other]
    return [replace(one, items=map_value(one.items, whole.value)) for one in made]


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
class _Turns:
    """All turns of one loop, and the names of what stands in it."""

    inside: set[str]
    all: Sequence[_Turn]
    limit: int | None

    def tasks(self, body: Sequence[Task], *, wait: bool) -> list[Task]:
        made = [[turn.task(task) for task in body] for turn in self.all]
        if wait and self.limit:
            made = [_behind(made, at, self.limit) for at in range(len(made))]
        return [task for turn in made for task in turn]


@dataclass(frozen=True, slots=True)
class _Whole:
    """All turns of loops, as whoever stands outside sees them: by loop; the loop of each name."""

    turns: Mapping[str, _Turns]
    inside: Mapping[str, str]

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(found for name in names for found in self._turns_of(name))

    def _turns_of(self, name: str) -> list[str]:
        if name not in self.inside:
            return [name]
        return [turn.rename(name) for turn in self.turns[self.inside[name]].all]

    def value(self, value: Value) -> Value:
        if not isinstance(value, Gathered) or value.loop not in self.turns:
            return value
        turns = self.turns[value.loop].all
        return Listed(tuple(map_value(value.value, turn.value) for turn in turns), value.type)

    def task(self, task: Task) -> Task:
        if self.inside.keys().isdisjoint(task.follows()):
            return task
        return replace(
            task.with_values(self.value),
            after=self.names(task.after),
            passed=self.names(task.passed),
            behind=self.names(task.behind),
        )
