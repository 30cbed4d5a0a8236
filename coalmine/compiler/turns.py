"""The turns of a loop: what names, values, tasks and loops become in each, and outside of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coalmine.compiler.graph import Loop
from coalmine.compiler.items import item_text
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

__all__ = ["OneTurn", "Turns", "Whole", "turn_name"]


def turn_name(name: str, turn: int) -> str:
    """Name what a task or a loop becomes in a turn, counted from zero."""
    return f"{name}-it-{turn}"


def _behind(made: list[list[Task]], at: int, limit: int) -> list[Task]:
    """Let a turn begin when the one before whose place it takes has ended."""
    before = [task.name for task in made[at - limit]] if at >= limit else []
    return [replace(task, passed=(*task.passed, *before)) for task in made[at]]


@dataclass(frozen=True, slots=True)
class OneTurn:
    """One turn of a loop: what names and values become in it."""

    turn: Turn
    item: Any
    inside: set[str]

    def rename(self, name: str) -> str:
        """Give the name of a task or a loop in this turn."""
        return turn_name(name, self.turn.at) if name in self.inside else name

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Give each of them its name in this turn."""
        return tuple(self.rename(name) for name in names)

    def value(self, value: Value) -> Value:
        """Give what a value is in this turn.

        Raises:
            InputError: The item has not what is taken of it.
        """
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
        """Make a task of this turn."""
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
        """Make a loop that stands in this turn."""
        return replace(
            loop,
            name=self.rename(loop.name),
            items=map_value(loop.items, self.value),
            loops=self.names(loop.loops[1:]),
        )


@dataclass(frozen=True, slots=True)
class Turns:
    """All turns of one loop, and the names of what stands in it."""

    inside: set[str]
    all: Sequence[OneTurn]
    limit: int | None

    def tasks(self, body: Sequence[Task], *, wait: bool) -> list[Task]:
        """Make the tasks of every turn; with ``wait``, turns wait as the limit says."""
        made = [[turn.task(task) for task in body] for turn in self.all]
        if wait and self.limit:
            made = [_behind(made, at, self.limit) for at in range(len(made))]
        return [task for turn in made for task in turn]


@dataclass(frozen=True, slots=True)
class Whole:
    """All turns of loops, as whoever stands outside sees them: by loop; the loop of each name."""

    turns: Mapping[str, Turns]
    inside: Mapping[str, str]

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Put the names of all its turns in the place of what stands in a loop."""
        return tuple(found for name in names for found in self._turns_of(name))

    def _turns_of(self, name: str) -> list[str]:
        if name not in self.inside:
            return [name]
        return [turn.rename(name) for turn in self.turns[self.inside[name]].all]

    def value(self, value: Value) -> Value:
        """Put the list of what its turns give in the place of what a loop gathers."""
        if not isinstance(value, Gathered) or value.loop not in self.turns:
            return value
        turns = self.turns[value.loop].all
        return Listed(tuple(map_value(value.value, turn.value) for turn in turns), value.type)

    def task(self, task: Task) -> Task:
        """Let a task outside wait for all turns of what it waits for."""
        if self.inside.keys().isdisjoint(task.follows()):
            return task
        return replace(
            task.with_values(self.value),
            after=self.names(task.after),
            passed=self.names(task.passed),
            behind=self.names(task.behind),
        )
