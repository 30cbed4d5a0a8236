"""A task's conditions as Argo reads them: one expression, evaluated to true or false.

``asInt`` and ``asFloat`` end the workflow with an error on a text that is no number, so a wrong
value never takes a branch in silence.
"""

from __future__ import annotations

import re

from coalmine._base.errors import InputError
from coalmine.compiler.argo_value import ran, source
from coalmine.compiler.compare import TRUE_TEXTS
from coalmine.compiler.graph import (
    Comparison,
    Constant,
    Graph,
    OneOf,
    Operator,
    ParameterRef,
    ParameterType,
    Task,
    Value,
)
from coalmine.compiler.manifest import Place

__all__ = ["compared_parameters", "expression", "quoted"]

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


def expression(task: Task) -> str:
    """Write what guards a task as one expression; empty where nothing does.

    Raises:
        InputError: A literal cannot be compared with safely.
    """
    where = Place(task.name, "condition", TARGET)
    choices = dict.fromkeys(value for value in task.values() if isinstance(value, OneOf))
    # A value of one of several tasks: one of them has run, or they were skipped altogether.
    found = [f"({' || '.join(ran(item.task) for item in one.choices)})" for one in choices]
    found += [_comparison(item, where) for item in task.when]
    return f"{{{{= {' && '.join(found)} }}}}" if found else ""


def _comparison(item: Comparison, where: Place) -> str:
    left, right = (_operand(side, item.type, where) for side in (item.left, item.right))
    if item.type is ParameterType.BOOLEAN and item.operator.orders:
        return BOOLEAN_ORDER[item.operator].format(left, right)
    written = f"{left} {item.operator.value} {right}"
    return f"!({written})" if item.negated else written


def _operand(value: Value, kind: ParameterType, where: Place) -> str:
    if isinstance(value, Constant):
        return _literal(value.value, kind, where)
    name = source(value)
    match kind:
        case ParameterType.STRING:
            return name
        case ParameterType.INTEGER:
            return f"asInt({name})"
        case ParameterType.DOUBLE:
            return f"asFloat({name})"
        case ParameterType.BOOLEAN:
            return f"({name} in [{TRUE_LIST}])"
        case _:
            return name


def _literal(text: str, kind: ParameterType, where: Place) -> str:
    match kind:
        case ParameterType.STRING:
            return quoted(text, where)
        case ParameterType.DOUBLE if "." not in text:
            return f"{text}.0"
        case _:
            return text


def quoted(text: str, where: Place) -> str:
    """Write a text within an expression.

    Raises:
        InputError: It holds what would end the text or the expression.
    """
    if not COMPARABLE.fullmatch(text) or "{{" in text or "}}" in text:
        raise InputError(
            f"{where}: {text!r} cannot be compared with in Argo",
            fix="compare with a text without quotes, backslashes, braces and control characters",
        )
    return f"'{text}'"
