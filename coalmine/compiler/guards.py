"""For engines that only compare texts: a task before a condition that answers it.

The task reads both values as the KFP launcher does and writes ``true`` or ``false``, and whoever
had the condition asks for that word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from coalmine.compiler import comparing
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.piece import InputRef, OutputPath
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef, Value

__all__ = ["Guarded", "with_guards"]

DEFAULT_IMAGE = "python:3.11-slim"
LONGEST_NAME = 55
"""A number behind it still fits into a label."""
ANSWER = "holds"
WORDS = {
    Operator.EQUAL: "is",
    Operator.NOT_EQUAL: "is-not",
    Operator.LESS: "below",
    Operator.LESS_OR_EQUAL: "at-most",
    Operator.GREATER: "above",
    Operator.GREATER_OR_EQUAL: "at-least",
}

Key = tuple[tuple[Comparison, ...], Comparison]
"""A comparison, and those that have to hold before it is looked at."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A graph in which others compare.

    Attributes:
        graph: It.
        guards: The names of the tasks that compare.
        image: What they run in.
    """

    graph: Graph
    guards: tuple[str, ...]
    image: str


def with_guards(graph: Graph, asks_too_much: Callable[[Comparison], bool], image: str) -> Guarded:
    """Put a task before every condition that the engine cannot say.

    A condition within another is looked at only where the outer one holds, here as elsewhere. The
    same condition under the same others is answered once.

    Args:
        graph: Without loops and choices.
        asks_too_much: Tells which conditions the engine cannot say.
        image: What the tasks run in, with ``python3``; empty for that of the first task that needs
            it anyway, because it takes KFP's executor input, or else for one with nothing more.
    """
    maker = _Maker(image or _image_of(graph.tasks), {task.name for task in graph.tasks})
    tasks: list[Task] = []
    for task in graph.tasks:
        before, when = maker.answered(task.when, asks_too_much)
        tasks += [*before, replace(task, when=when)]
    return Guarded(replace(graph, tasks=tuple(tasks)), tuple(maker.made.values()), maker.image)


@cache
def script() -> str:
    """Give the text of what compares."""
    return Path(comparing.__file__).read_text(encoding="utf-8")


def _image_of(tasks: Iterable[Task]) -> str:
    return next((task.image for task in tasks if task.takes_executor_input), DEFAULT_IMAGE)


@dataclass(slots=True)
class _Maker:
    image: str
    taken: set[str]
    made: dict[Key, str] = field(default_factory=dict)

    def answered(
        self, conditions: Iterable[Comparison], asks_too_much: Callable[[Comparison], bool]
    ) -> tuple[list[Task], tuple[Comparison, ...]]:
        """Give the tasks that have to be made for conditions, and what is asked instead."""
        tasks: list[Task] = []
        asked: tuple[Comparison, ...] = ()
        for item in conditions:
            if not asks_too_much(item):
                asked = (*asked, item)
                continue
            known = self._known(asked, item)
            if known is None:
                known = replace(item, negated=False)
                self.made[asked, known] = name = self._name(known)
                tasks.append(_guard(name, known, asked, self.image))
            answer = TaskOutputRef(self.made[asked, known], ANSWER)
            word = Constant("true" if known == item else "false")
            asked = (*asked, Comparison(answer, Operator.EQUAL, word))
        return tasks, asked

    def _known(self, asked: tuple[Comparison, ...], item: Comparison) -> Comparison | None:
        """Find what is answered already: the same, or what holds just where it does not."""
        options = [item, replace(item, negated=not item.negated)]
        if not (item.type is ParameterType.DOUBLE and item.operator.orders):
            options.append(replace(item, operator=item.operator.opposite))
        return next((option for option in options if (asked, option) in self.made), None)

    def _name(self, item: Comparison) -> str:
        words = ["check", _said(item.left), WORDS[item.operator], _said(item.right)]
        whole = re.sub("[^a-z0-9]+", "-", "-".join(words).lower())
        name = first = whole[:LONGEST_NAME].strip("-")
        number = 1
        while name in self.taken:
            number += 1
            name = f"{first}-{number}"
        self.taken.add(name)
        return name


def _said(value: Value) -> str:
    match value:
        case Constant(text):
            return text.replace("-", "minus-", 1) if text.startswith("-") else text
        case ParameterRef(name):
            return name
        case TaskOutputRef(task, output):
            return f"{task}-{output}"
        case _:
            raise TypeError(f"{value} should have been undone")


def _guard(name: str, item: Comparison, asked: tuple[Comparison, ...], image: str) -> Task:
    return Task(
        name=name,
        component="check",
        image=image,
        command=(("python3",), ("-c",), (script(),)),
        args=(
            (InputRef("left"),),
            (item.operator.value,),
            (InputRef("right"),),
            (item.type.value,),
            (OutputPath(ANSWER),),
        ),
        inputs=(Parameter("left", item.type), Parameter("right", item.type)),
        arguments=(("left", item.left), ("right", item.right)),
        outputs=(Parameter(ANSWER, ParameterType.BOOLEAN),),
        when=asked,
    )
