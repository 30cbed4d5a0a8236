"""Undo loops: once the items of one are known, its tasks become as many as it has turns.

The local engine does this while a run goes on, as soon as the list is there. For Tekton it is done
when a pipeline is compiled, so only with lists that are known then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.items import read_items
from coalmine.compiler.task import Task, Turn
from coalmine.compiler.turns import OneTurn, Turns, Whole
from coalmine.compiler.value import Constant, map_value

__all__ = ["expand", "expand_constants"]


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
    whole = Whole(turns, {name: loop for loop, of in turns.items() for name in of.inside})
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
) -> dict[str, Turns]:
    inside = {name: {task.name for task in body} for name, body in bodies.items()}
    for other in graph.loops:
        if other.loops and other.loops[0] in inside:
            inside[other.loops[0]].add(other.name)
    return {
        loop.name: Turns(
            inside[loop.name],
            [
                OneTurn(Turn(loop.name, at, loop.limit), item, inside[loop.name])
                for at, item in enumerate(lists[loop.name])
            ],
            loop.limit,
        )
        for loop in graph.loops
        if loop.name in lists
    }


def _loops_of(other: Loop, whole: Whole) -> list[Loop]:
    if other.name in whole.turns:
        return []
    if other.name in whole.inside:
        made = [turn.loop(other) for turn in whole.turns[whole.inside[other.name]].all]
    else:
        made = [other]
    return [replace(one, items=map_value(one.items, whole.value)) for one in made]
