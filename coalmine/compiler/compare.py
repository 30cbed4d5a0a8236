"""What a comparison means: texts read as values of a type, the way the KFP backend reads them.

Strings are compared to the byte. Numbers and booleans may stand between blanks. The KFP launcher
does the same with what a task has written (``strconv.ParseInt``, ``ParseFloat``, ``ParseBool``).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Comparison, Operator, ParameterType, Value
from coalmine.compiler.jsontext import is_json, json_text, number_text

__all__ = ["FALSE_TEXTS", "TRUE_TEXTS", "holds", "normal", "read"]

TRUE_TEXTS = ("true", "True", "TRUE", "t", "T", "1")
FALSE_TEXTS = ("false", "False", "FALSE", "f", "F", "0")
INTEGER = re.compile(r"[+-]?[0-9]+")
DOUBLE = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE
)

_OPERATIONS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def holds(comparison: Comparison, text_of: Callable[[Value], str]) -> bool:
    """Tell whether a comparison is true.

    Args:
        comparison: What is compared.
        text_of: Gives the text of a value.

    Raises:
        InputError: A text is no value of the type that is compared.
    """
    left = read(text_of(comparison.left), comparison.type)
    right = read(text_of(comparison.right), comparison.type)
    return _OPERATIONS[comparison.operator](left, right) is not comparison.negated


def normal(text: str, kind: ParameterType) -> str:
    """Write a text the one way in which the KFP launcher hands on a value of this type.

    Raises:
        InputError: It is no value of the type.
    """
    match read(text, kind):
        case bool() as value:
            return "true" if value else "false"
        case int() | float() as value:
            return number_text(value)
        case str() as value:
            return value
        case value:
            return json_text(value)


def read(text: str, kind: ParameterType) -> str | int | float | bool | list[Any] | dict[str, Any]:
    """Read a text as a value of a type.

    Raises:
        InputError: It is none.
    """
    if kind in _STRUCTURED:
        return _structured(text, kind)
    bare = text.strip()
    match kind:
        case ParameterType.STRING:
            return text
        case ParameterType.INTEGER if INTEGER.fullmatch(bare):
            return int(bare)
        case ParameterType.DOUBLE if DOUBLE.fullmatch(bare):
            return float(bare)
        case ParameterType.BOOLEAN if bare in TRUE_TEXTS + FALSE_TEXTS:
            return bare in TRUE_TEXTS
    raise InputError(f"{text!r} is no {kind.value}", fix="write a value of its type")


_STRUCTURED: dict[ParameterType, type[list[Any] | dict[str, Any]]] = {
    ParameterType.LIST: list,
    ParameterType.STRUCT: dict,
}


def _structured(text: str, kind: ParameterType) -> list[Any] | dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, _STRUCTURED[kind]) and is_json(value):
        return value
    raise InputError(
        f"{text!r} is no {kind.value}",
        fix='write it as JSON, such as ["a", 1]'
        if kind is ParameterType.LIST
        else 'write it as JSON, such as {"key": 1}',
    )
