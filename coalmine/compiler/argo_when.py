"""A task's conditions as Argo reads them: one expression, evaluated to true or false.

``asInt`` and ``asFloat`` end the workflow with an error on a text that is no number, so a wrong
value never takes a branch in silence.
"""

from __future__ import annotations

import re

from coalmine._base.errors import InputError
from coalmine.compiler.compare import TRUE_TEXTS
from coalmine.compiler.graph import (
    Comparison,
    Condition,
    Constant,
    Graph,
    Operator,
    ParameterRef,
    ParameterType,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.manifest import Place

__all__ = ["compared_parameters", "expression"]

TARGET = "argo"
COMPARABLE = re.compile(r"[^'\"\\\x00-\x1f\x7f]*")
"""A literal that an expression can hold between single quotes as it stands."""
TRUE_LIST = ", ".join(f"'{text}'" for text in TRUE_TEXTS)
BOOLEAN_ORDER = {
    Operator.LESS: "!{} && {}",
    Operator.LESS_OR_EQUAL: "(!{} || {})",
    Operator.GREATER: "{} && !{}",
    Operator.GREATER_OR_EQUAL: "({} || !{})",
}
"""Argo's expressions do not order booleans; false is less than true."""


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
    return f"{{{{= {' && '.join(_comparison(item, where) for item in conditions)} }}}}"


def _comparison(item: Comparison, where: Place) -> str:
    left, right = (_operand(side, item.type, where) for side in (item.left, item.right))
    if item.type is ParameterType.BOOLEAN and item.operator.orders:
        return BOOLEAN_ORDER[item.operator].format(left, right)
    written = f"{left} {item.operator.value} {right}"
    return f"!({written})" if item.negated else written


def _operand(value: Value, kind: ParameterType, where: Place) -> str:
    if isinstance(value, Constant):
        return _literal(value.value, kind, where)
    source = _source(value)
    match kind:
        case ParameterType.STRING:
            return source
        case ParameterType.INTEGER:
            return f"asInt({source})"
        case ParameterType.DOUBLE:
            return f"asFloat({source})"
        case ParameterType.BOOLEAN:
            return f"({source} in [{TRUE_LIST}])"
        case _:
            return source


def _source(value: ParameterRef | TaskOutputRef) -> str:
    match value:
        case ParameterRef(name):
            return f"inputs.parameters['{name}']"
        case TaskOutputRef(task, output):
            return f"tasks['{task}'].outputs.parameters['{output}']"


def _literal(text: str, kind: ParameterType, where: Place) -> str:
    match kind:
        case ParameterType.STRING:
            return _quoted(text, where)
        case ParameterType.DOUBLE if "." not in text:
            return f"{text}.0"
        case _:
            return text


def _quoted(text: str, where: Place) -> str:
    if not COMPARABLE.fullmatch(text) or "{{" in text or "}}" in text:
        raise InputError(
            f"{where}: {text!r} cannot be compared with in Argo",
            fix="compare with a text without quotes, backslashes, braces and control characters",
        )
    return f"'{text}'"
