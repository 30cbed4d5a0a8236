"""What a comparison means: texts read as values of a type, the way the KFP backend reads them.

Strings are compared to the byte. Numbers and booleans may stand between blanks. The KFP launcher
does the same with what a task has written (``strconv.ParseInt``, ``ParseFloat``, ``ParseBool``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Comparison, Operator, ParameterType, Value

__all__ = ["FALSE_TEXTS", "TRUE_TEXTS", "holds", "read"]

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


def read(text: str, kind: ParameterType) -> str | int | float | bool:
    """Read a text as a value of a type.

    Raises:
        InputError: It is none.
    """
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
