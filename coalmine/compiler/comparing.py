"""Tell whether two texts, read as values of a type, compare as asked.

This file is written into manifests as it stands, for engines that cannot compare, so it needs
nothing but Python 3.9: ``python3 -c THIS LEFT OPERATOR RIGHT TYPE FILE``. The file gets ``true`` or
``false``.

Strings are compared to the byte. Numbers and booleans may stand between blanks, as the KFP
launcher reads what a task has written (``strconv.ParseInt``, ``ParseFloat``, ``ParseBool``).
"""

from __future__ import annotations

import operator
import re
import sys
from typing import Any

__all__ = ["FALSE_TEXTS", "TRUE_TEXTS", "compares", "value_of"]

TRUE_TEXTS = ("true", "True", "TRUE", "t", "T", "1")
FALSE_TEXTS = ("false", "False", "FALSE", "f", "F", "0")
INTEGER = re.compile(r"[+-]?[0-9]+")
DOUBLE = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf(inity)?|nan)", re.IGNORECASE
)
OPERATIONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def value_of(text: str, kind: str) -> Any:
    """Read a text as a string, an integer, a double or a boolean, in KFP's words for these.

    Raises:
        ValueError: It is none.
    """
    bare = text.strip()
    if kind == "STRING":
        return text
    if kind == "NUMBER_INTEGER" and INTEGER.fullmatch(bare):
        return int(bare)
    if kind == "NUMBER_DOUBLE" and DOUBLE.fullmatch(bare):
        return float(bare)
    if kind == "BOOLEAN" and bare in TRUE_TEXTS + FALSE_TEXTS:
        return bare in TRUE_TEXTS
    raise ValueError(f"{text!r} is no {kind}")


def compares(left: str, how: str, right: str, kind: str) -> bool:
    """Tell whether a comparison is true.

    Args:
        left: A text.
        how: An operator.
        right: A text.
        kind: What both are read as.

    Raises:
        ValueError: One is no value of this type.
    """
    return bool(OPERATIONS[how](value_of(left, kind), value_of(right, kind)))


if __name__ == "__main__":
    try:
        answer = compares(*sys.argv[1:5])
    except ValueError as error:
        sys.exit(f"the condition cannot be judged: {error}")
    with open(sys.argv[5], "w", encoding="utf-8") as file:
        file.write("true" if answer else "false")
