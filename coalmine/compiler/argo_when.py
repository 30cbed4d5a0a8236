"""A task's conditions as Argo reads them: one expression, evaluated to true or false.

``asInt`` and ``asFloat`` end the workflow with an error on a text that is no number, so a wrong
value never takes a branch in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from coalmine._base.errors import InputError
from coalmine.compiler.argo_value import TRUE_LIST, Names, ran
from coalmine.compiler.condition import Comparison, Condition, Operator
from coalmine.compiler.manifest import Place
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.value import Constant, OneOf, ParameterRef, Value

__all__ = ["compared_parameters", "expression", "quoted"]

TARGET = "argo"
COMPARABLE = re.compile(r"[^'\"\\\x00-\x1f\x7f]*")
"""A literal that an expression can hold between single quotes as it stands."""
BOOLEAN_ORDER = {
    Operator.LESS: "!{} && {}",
    Operator.LESS_OR_EQUAL: "(!{} || {})",
    Operator.GREATER: "{} && !{}",
    Operator.GREATER_OR_EQUAL: "({} || !{})",
}
"""Argo's expressions do not order booleans; false is less than true."""


def compared_parameters(conditions: Iterable[Condition]) -> list[str]:
    """Name the pipeline parameters that conditions read.

    They become inputs of the DAG: in an expression ``workflow.parameters`` alone is a JSON text.
    """
    sides = {side for condition in conditions for side in (condition.left, condition.right)}
    return sorted({side.name for side in sides if isinstance(side, ParameterRef)})


def expression(
    task: str, choices: Iterable[OneOf], conditions: Iterable[Condition], names: Names
) -> str:
    """Write what guards a task or a loop as one expression; empty where nothing does.

    Args:
        task: Its name, for errors.
        choices: The values it takes from one of several tasks, of which one must have run.
        conditions: What must be true.
        names: Says values where it stands.

    Raises:
        InputError: A literal cannot be compared with safely.
    """
    where = Place(task, "condition", TARGET)
    found = [f"({' || '.join(ran(item.task) for item in one.choices)})" for one in choices]
    found += [_comparison(item, where, names) for item in conditions]
    return f"{{{{= {' && '.join(found)} }}}}" if found else ""


def _comparison(item: Comparison, where: Place, names: Names) -> str:
    left, right = (_operand(side, item.type, where, names) for side in (item.left, item.right))
    if item.type is ParameterType.BOOLEAN and item.operator.orders:
        return BOOLEAN_ORDER[item.operator].format(left, right)
    written = f"{left} {item.operator.value} {right}"
    return f"!({written})" if item.negated else written


def _operand(value: Value, kind: ParameterType, where: Place, names: Names) -> str:
    if isinstance(value, Constant):
        return _literal(value.value, kind, where)
    name = names.source(value)
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
