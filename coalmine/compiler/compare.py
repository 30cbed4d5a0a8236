"""What a comparison means: texts read as values of a type, the way the KFP backend reads them.

Single values are read by ``comparing``, which manifests carry too; lists and dicts are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.comparing import FALSE_TEXTS, TRUE_TEXTS, compares, value_of
from coalmine.compiler.condition import Comparison
from coalmine.compiler.jsontext import is_json, json_text, number_text
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.value import Value

__all__ = ["FALSE_TEXTS", "TRUE_TEXTS", "holds", "normal", "read"]

FIX = "write a value of its type"


def holds(comparison: Comparison, text_of: Callable[[Value], str]) -> bool:
    """Tell whether a comparison is true.

    Args:
        comparison: What is compared.
        text_of: Gives the text of a value.

    Raises:
        InputError: A text is no value of the type that is compared.
    """
    left, right = text_of(comparison.left), text_of(comparison.right)
    try:
        found = compares(left, comparison.operator, right, comparison.type)
    except ValueError as error:
        raise InputError(str(error), fix=FIX) from None
    return found is not comparison.negated


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
    try:
        found: str | int | float | bool = value_of(text, kind)
    except ValueError as error:
        raise InputError(str(error), fix=FIX) from None
    return found


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
