"""The levels of a graph with loops: what stands side by side, and what a loop takes from around it.

On engines where a loop is a template of its own, its tasks see nothing of what is around it but
the template's inputs, and nobody sees more of it than the template's outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coalmine.compiler.condition import Condition
from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.order import ancestors
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    Gathered,
    LoopItem,
    OneOf,
    ParameterRef,
    TaskOutputRef,
    Value,
    references,
    simple_values,
)

__all__ = ["Levels", "Path"]

Path = tuple[str, ...]
"""The loops around something, from the outside in."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Answers about one graph.

    Attributes:
        graph: It.
        homes: The loops around each task and each loop.
        bodies: The tasks within each loop, those of loops in it included.
        guards: The conditions that guard each loop as a whole.
        gifts: What others gather from each loop.
        above: Every task that has to succeed before each, near and far.
        made: Every artifact that a task makes.
    """

    graph: Graph
    homes: Mapping[str, Path] = field(init=False)
    bodies: Mapping[str, tuple[Task, ...]] = field(init=False)
    guards: Mapping[str, tuple[Condition, ...]] = field(init=False)
    gifts: Mapping[str, Mapping[Value, None]] = field(init=False)
    above: Mapping[str, frozenset[str]] = field(init=False)
    made: frozenset[TaskOutputRef] = field(init=False)

    def __post_init__(self) -> None:
        graph = self.graph
        homes = {task.name: task.loops for task in graph.tasks}
        homes |= {loop.name: loop.loops for loop in graph.loops}
        object.__setattr__(self, "homes", homes)
        bodies: dict[str, list[Task]] = {loop.name: [] for loop in graph.loops}
        for task in graph.tasks:
            for name in task.loops:
                bodies[name].append(task)
        object.__setattr__(self, "bodies", {name: tuple(found) for name, found in bodies.items()})
        guards: dict[str, tuple[Condition, ...]] = {}
        for loop in graph.loops:
            outer = {item for name in loop.loops for item in guards[name]}
            shared = self._shared(loop)
            guards[loop.name] = tuple(item for item in shared if item not in outer)
        object.__setattr__(self, "guards", guards)
        object.__setattr__(self, "gifts", self._gifts())
        object.__setattr__(self, "above", ancestors(graph.tasks))
        made = (TaskOutputRef(task.name, item.name) for task in graph.tasks for item in task.made)
        object.__setattr__(self, "made", frozenset(made))

    def members(self, path: Path) -> list[Task | Loop]:
        """List what stands at a level, in the graph's order; a loop where its first task does."""
        loops = {loop.name: loop for loop in self.graph.loops}
        found: dict[str, Task | Loop] = {}
        within = self.bodies[path[-1]] if path else self.graph.tasks
        for task in within:
            deeper = task.loops[len(path) :]
            name = deeper[0] if deeper else task.name
            found.setdefault(name, loops[name] if deeper else task)
        return list(found.values())

    def conditions(self, item: Task | Loop) -> tuple[Condition, ...]:
        """Give what guards it at its own level."""
        if isinstance(item, Loop):
            return self.guards[item.name]
        above = {one for name in item.loops for one in self.guards[name]}
        return tuple(one for one in item.when if one not in above)

    def tasks_of(self, item: Task | Loop) -> tuple[Task, ...]:
        """Give the task itself, or all that a loop holds."""
        return self.bodies[item.name] if isinstance(item, Loop) else (item,)

    def home(self, value: Value) -> Path | None:
        """Tell at which level a value is made; None where it can be had at any."""
        match value:
            case TaskOutputRef(task):
                return self.homes[task]
            case OneOf((first, *_)):
                return self.homes[first.task]
            case Gathered(loop):
                return self.homes[loop]
            case _:
                return None

    def taken_in(self, loop: Loop) -> list[Value]:
        """List what a loop takes from around it, its list and artifacts apart.

        A parameter of the pipeline is among them only where a condition reads it; the item of an
        outer loop is taken whole.
        """
        return [value for value in self._from_around(loop) if not self._is_artifact(value)]

    def artifacts_in(self, loop: Loop) -> list[TaskOutputRef | OneOf]:
        """List the artifacts that a loop takes from around it."""
        return [
            value
            for value in self._from_around(loop)
            if isinstance(value, TaskOutputRef | OneOf) and self._is_artifact(value)
        ]

    def _is_artifact(self, value: Value) -> bool:
        found = references(value)
        return bool(found) and self.made.issuperset(found)

    def _from_around(self, loop: Loop) -> list[Value]:
        inside = (*loop.loops, loop.name)
        found: dict[Value, None] = {}
        for value, compared in self._used_within(loop):
            match value:
                case Constant():
                    continue
                case ParameterRef(name) if compared:
                    found[ParameterRef(name)] = None
                case LoopItem(name) if name in loop.loops:
                    found[LoopItem(name)] = None
                case TaskOutputRef() | OneOf() | Gathered():
                    home = self.home(value)
                    if home is not None and len(home) < len(inside):
                        found[value] = None
                case _:
                    continue
        return list(found)

    def given_out(self, loop: Loop) -> list[Value]:
        """List what others gather from a loop: its template's outputs."""
        return list(self.gifts[loop.name])

    def _gifts(self) -> dict[str, dict[Value, None]]:
        values: list[Value] = [value for task in self.graph.tasks for value in task.values()]
        values += [value for _, value in self.graph.outputs]
        values += [other.items for other in self.graph.loops]
        found: dict[str, dict[Value, None]] = {loop.name: {} for loop in self.graph.loops}
        gathered = [value for value in values if isinstance(value, Gathered)]
        while gathered:
            value = gathered.pop(0)
            found[value.loop][value.value] = None
            if isinstance(value.value, Gathered):
                gathered.append(value.value)
        return found

    def _used_within(self, loop: Loop) -> Iterable[tuple[Value, bool]]:
        """Give every value that is used within a loop, and whether a condition reads it."""
        for task in self.bodies[loop.name]:
            yield from ((one, False) for _, value in task.arguments for one in simple_values(value))
            for item in self._conditions_within(task, loop):
                yield from ((item.left, True), (item.right, True))
        for other in self.graph.loops:
            if loop.name in other.loops:
                yield other.items, False
        yield from ((value, False) for value in self.given_out(loop))

    def _conditions_within(self, task: Task, loop: Loop) -> list[Condition]:
        around = (*loop.loops, loop.name)
        above = {item for name in around for item in self.guards[name]}
        return [item for item in task.when if item not in above]

    def _shared(self, loop: Loop) -> list[Condition]:
        """Find the conditions of all tasks in a loop that ask for nothing within it."""
        first, *others = self.bodies[loop.name]
        inside = {loop.name, *(name for task in self.bodies[loop.name] for name in task.loops)}
        inside -= set(loop.loops)
        rest = [set(task.when) for task in others]
        return [
            item
            for item in first.when
            if all(item in each for each in rest)
            and not any(self._is_inside(side, inside) for side in (item.left, item.right))
        ]

    def _is_inside(self, value: Value, inside: set[str]) -> bool:
        if isinstance(value, LoopItem):
            return value.loop in inside
        return bool(inside & set(self.home(value) or ()))
