"""A task's conditions as Argo reads them: one expression, evaluated to true or false."""

from __future__ import annotations

import re

from coalmine._base.errors import InputError
from coalmine.compiler.graph import (
    Condition,
    Constant,
    Graph,
    ParameterRef,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.manifest import Place

__all__ = ["compared_parameters", "expression"]

TARGET = "argo"
COMPARABLE = re.compile(r"[^'\"\\\x00-\x1f\x7f]*")
"""A literal that an expression can hold between single quotes as it stands."""


def compared_parameters(graph: Graph) -> list[str]:
    """Name the pipeline parameters that conditions read.

    They become inputs of the DAG: in an expression ``workflow.parameters`` alone is a JSON text.
    """
    sides = {
        side
        for task in graph.tasks
        for condition in task.when
        for side in (condition.left, condition.right)
    }
    return sorted(side.name for side in sides if isinstance(side, ParameterRef))


def expression(conditions: tuple[Condition, ...], task: str) -> str:
    """Write conditions that all have to be true as an expression.

    Raises:
        InputError: A literal cannot be compared with safely.
    """
    where = Place(task, "condition", TARGET)
    parts = [
        f"{_operand(item.left, where)} {item.operator.value} {_operand(item.right, where)}"
        for item in conditions
    ]
    return f"{{{{= {' && '.join(parts)} }}}}"


def _operand(value: Value, where: Place) -> str:
    match value:
        case Constant(text):
            return _quoted(text, where)
        case ParameterRef(name):
            return f"inputs.parameters['{name}']"
        case TaskOutputRef(task, output):
            return f"tasks['{task}'].outputs.parameters['{output}']"


def _quoted(text: str, where: Place) -> str:
    if not COMPARABLE.fullmatch(text) or "{{" in text or "}}" in text:
        raise InputError(
            f"{where}: {text!r} cannot be compared with in Argo",
            fix="compare with a text without quotes, backslashes, braces and control characters",
        )
    return f"'{text}'"
