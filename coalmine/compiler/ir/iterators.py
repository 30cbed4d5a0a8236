"""Loops as the IR has them: a group with an iterator, and what its tasks take of an item."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Loop
from coalmine.compiler.ir.models import TaskSpec
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.items import read_items
from coalmine.compiler.parameter import Parameter, ParameterType
from coalmine.compiler.task import Task
from coalmine.compiler.value import Constant, Gathered, LoopItem, OneOf, TaskOutputRef, Value

__all__ = ["gathered", "read_loop", "select"]

SELECTOR = re.compile(r"""parseJson\(string_value\)\["([^"\\]+)"\]""")


def read_loop(
    name: str, spec: TaskSpec, inputs: Mapping[str, Value], loops: tuple[str, ...], *, task: str
) -> Loop | None:
    """Read the loop that a group is; None where it is none.

    Args:
        name: What to call it.
        spec: The group.
        inputs: What its inputs get.
        loops: The loops around it.
        task: What the IR calls it, for errors.

    Raises:
        InputError: It goes over something that is no list.
    """
    iterator = spec.parameter_iterator
    if iterator is None:
        return None
    if iterator.items.raw is not None:
        read_items(iterator.items.raw, loop=task)
        items: Value | None = Constant(iterator.items.raw)
    else:
        items = inputs.get(iterator.items.input_parameter or "")
    if items is None:
        raise InputError(
            f"the loop {task!r} goes over {iterator.items.input_parameter!r}, which has no value",
            fix="compile the pipeline again",
        )
    if isinstance(items, OneOf):
        raise unsupported(
            task, "a loop over a dsl.OneOf", fix="let a task take the value and write the list"
        )
    if isinstance(items, LoopItem):
        items = replace(items, type=ParameterType.LIST)
    return Loop(name, items, spec.iterator_policy.parallelism_limit or None, loops)


def select(value: Value | None, selector: str, parameter: Parameter, *, task: str) -> Value:
    """Take what stands under a key in an item of a loop.

    Raises:
        InputError: The value is no item of a loop, or the selector is of another form.
    """
    match = SELECTOR.fullmatch(selector)
    if match is None or not isinstance(value, LoopItem):
        raise unsupported(
            task,
            f"the expression {selector} for {parameter.name!r}",
            fix="take a key of an item of a loop, nothing else",
        )
    return replace(value, path=(*value.path, match[1]), type=parameter.type)


def gathered(loop: Loop, value: Value, tasks: Iterable[Task]) -> Gathered:
    """Say that a value of a loop's tasks is seen from outside as a list of it."""
    return Gathered(loop.name, value, _type_of(value, tasks))


def _type_of(value: Value, tasks: Iterable[Task]) -> ParameterType:
    match value:
        case OneOf((first, *_)):
            return _type_of(first, tasks)
        case TaskOutputRef(name, output):
            found = (
                item.type
                for task in tasks
                if task.name == name
                for item in task.outputs
                if item.name == output
            )
            return next(found, ParameterType.STRING)
        case _:
            return ParameterType.LIST
