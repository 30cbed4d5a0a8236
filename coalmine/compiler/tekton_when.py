"""A task's conditions as Tekton's ``when``: an input that is in a list of texts, or is not.

Tekton knows no numbers here, so what asks for them gets a task that compares (``guards``). Its CEL
(``when.cel``) would know them, but that is an alpha feature, off by default, refused by the API
server where it is off, and values are pasted into the expression as text, so that a value with a
quote changes its meaning.
"""

from __future__ import annotations

from typing import Any

from coalmine.compiler.compare import TRUE_TEXTS, holds
from coalmine.compiler.condition import Comparison, Operator
from coalmine.compiler.graph import Graph
from coalmine.compiler.manifest import Place
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.tekton_names import TARGET
from coalmine.compiler.tekton_results import result_name
from coalmine.compiler.tekton_text import plain
from coalmine.compiler.value import Constant, ParameterRef, TaskOutputRef, Value

__all__ = ["asks_too_much", "reference", "says_whole_numbers", "when"]


def when(condition: Comparison, task: str) -> dict[str, Any]:
    """Write one condition that does not ask too much.

    Raises:
        InputError: A text in it would mean something else to Tekton; names the task.
    """
    where = Place(task, "condition", TARGET)
    left, right = condition.left, condition.right
    if isinstance(left, Constant):
        left, right = right, left
    if isinstance(left, Constant) and isinstance(right, Constant):
        known = holds(condition, lambda value: value.value if isinstance(value, Constant) else "")
        return {"input": str(known).lower(), "operator": "in", "values": ["true"]}
    positive = condition.operator is Operator.EQUAL
    values = [_side(right, where)]
    if condition.type is ParameterType.BOOLEAN:
        assert isinstance(right, Constant)
        # Whatever is not true counts as false, so that one of two branches always runs.
        positive = positive is (right.value == "true")
        values = list(TRUE_TEXTS)
    if condition.type is not ParameterType.STRING:
        values = [written for value in values for written in (value, f"{value}\n")]
    return {
        "input": _side(left, where),
        "operator": "in" if positive else "notin",
        "values": values,
    }


def asks_too_much(condition: Comparison) -> bool:
    """Tell whether a condition has to be answered by a task: it is no equality of texts."""
    sides = (condition.left, condition.right)
    known = sum(isinstance(side, Constant) for side in sides)
    if known == len(sides) or condition.type is ParameterType.STRING:
        return condition.operator.orders and known < len(sides)
    return condition.operator.orders or condition.type is ParameterType.DOUBLE or not known


def says_whole_numbers(graph: Graph) -> bool:
    """Tell whether a condition compares whole numbers, which Tekton does by their text."""
    return any(item.type is ParameterType.INTEGER for task in graph.tasks for item in task.when)


def reference(value: Value) -> str:
    """Write a reference to a value; loops and choices between values have been undone before."""
    match value:
        case ParameterRef(name):
            return f"$(params.{name})"
        case TaskOutputRef(task, output):
            return f"$(tasks.{task}.results.{result_name(output)})"
        case _:
            raise TypeError(f"{value} cannot be said in Tekton")


def _side(value: Value, where: Place) -> str:
    return plain(value.value, where) if isinstance(value, Constant) else reference(value)
