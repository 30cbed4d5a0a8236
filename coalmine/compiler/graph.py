"""The flat graph: what a pipeline is once its nesting is undone.

Every target is lowered from this graph and the local engine runs it, so a pipeline means the same
wherever it goes. It is data only: frozen, hashable, without a word of any target or of any step.
"""

from __future__ import annotations

from dataclasses import dataclass

from coalmine.compiler.parameter import Parameter
from coalmine.compiler.task import Task
from coalmine.compiler.value import Value

__all__ = [
    "Graph",
    "Loop",
]


@dataclass(frozen=True, slots=True)
class Loop:
    """Tasks that run once for each item of a list, side by side.

    Attributes:
        name: Unique in the graph, also among the tasks.
        items: The list, as JSON.
        limit: How many turns may be under way at once; None where there is no limit.
        loops: The loops around it, from the outside in.
    """

    name: str
    items: Value
    limit: int | None = None
    loops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole pipeline, flat.

    Attributes:
        name: The pipeline's name, a legal name on every target.
        description: What it is for.
        parameters: What it takes, in the author's order.
        tasks: In an order in which each stands behind what it waits for.
        exit_task: Runs when all others have ended, however; None if there is none.
        outputs: What the pipeline as a whole gives, by name.
        loops: The loops that its tasks stand in, each behind those around it.
    """

    name: str
    parameters: tuple[Parameter, ...]
    tasks: tuple[Task, ...]
    exit_task: Task | None = None
    description: str = ""
    outputs: tuple[tuple[str, Value], ...] = ()
    loops: tuple[Loop, ...] = ()
