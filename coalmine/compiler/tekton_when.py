"""A task's conditions as Tekton's ``when``: an input that is in a list of texts, or is not.

Tekton knows no numbers here. Its CEL (``when.cel``) would, but that is an alpha feature, off by
default, refused by the API server where it is off, and values are pasted into the expression as
text, so that a value with a quote changes its meaning.
"""

from __future__ import annotations

import re
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.compare import TRUE_TEXTS, holds
from coalmine.compiler.graph import (
    Comparison,
    Constant,
    Graph,
    Operator,
    ParameterRef,
    ParameterType,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.manifest import Place
from coalmine.compiler.tekton_results import result_name

__all__ = ["plain", "reference", "says_whole_numbers", "when"]

TARGET = "tekton"
VARIABLE = re.compile(
    r"\$\((params|results|tasks|context|workspaces|steps?|inputs|outputs|finally|artifacts"
    r"|credentials|resources|sidecars)\b"
)


def when(condition: Comparison, task: str) -> dict[str, Any]:
    """Write one condition.

    Raises:
        InputError: Tekton cannot say it; names the task and the targets that can.
    """
    where = Place(task, "condition", TARGET)
    left, right = condition.left, condition.right
    if isinstance(left, Constant):
        left, right = right, left
    if isinstance(left, Constant) and isinstance(right, Constant):
        known = holds(condition, lambda value: value.value if isinstance(value, Constant) else "")
        return {"input": str(known).lower(), "operator": "in", "values": ["true"]}
    _check(condition, right, where)
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


def says_whole_numbers(graph: Graph) -> bool:
    """Tell whether a condition compares whole numbers, which Tekton does by their text."""
    return any(item.type is ParameterType.INTEGER for task in graph.tasks for item in task.when)


def plain(text: str, where: Place) -> str:
    """Take a literal as it is.

    Raises:
        InputError: Tekton would take a part of it for a variable.
    """
    if match := VARIABLE.search(text):
        raise InputError(
            f"{where}: the text {match[0]}... would be replaced by Tekton",
            fix="pass it in a file or by another name; Tekton cannot quote it",
        )
    return text


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


def _check(condition: Comparison, right: Value, where: Place) -> None:
    kind = condition.type
    problem = ""
    if condition.operator.orders:
        problem = f"it asks for {condition.operator}, and Tekton only knows equal and not equal"
    elif kind is ParameterType.DOUBLE:
        problem = "it compares floats, and Tekton only compares texts"
    elif kind is not ParameterType.STRING and not isinstance(right, Constant):
        problem = f"it compares two values of type {kind.value}, and Tekton only compares texts"
    if problem:
        raise InputError(
            f"{where}: {problem}",
            fix="let a task decide and write a word for dsl.If to compare with, "
            "or compile for argo or kfp",
        )
