"""The conditions of ``dsl.If``, ``Elif`` and ``Else``, in the CEL that the KFP SDK writes.

The SDK joins comparisons with ``&&`` and wraps the ones of earlier branches in ``!( )``. It pastes
strings between single quotes without escaping them, so a quote or a backslash in one can mean
anything: such a condition is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coalmine.compiler.graph import Operator
from coalmine.compiler.ir.refuse import unsupported

__all__ = ["InputName", "RawComparison", "parse_condition"]


@dataclass(frozen=True, slots=True)
class InputName:
    """An operand that is the value of an input of the group the condition guards."""

    name: str


@dataclass(frozen=True, slots=True)
class RawComparison:
    """A comparison whose operands are not resolved yet; a string operand is a literal."""

    left: InputName | str
    operator: Operator
    right: InputName | str


OPERAND = r"(inputs\.parameter_values\['[^'\\]+'\]|'[^'\\\r\n]*')"
COMPARISON = re.compile(rf"{OPERAND} (==|!=) {OPERAND}")
NEGATED = re.compile(rf"!\({COMPARISON.pattern}\)")
AND = " && "
PREFIX, SUFFIX = "inputs.parameter_values['", "']"
OPPOSITE = {Operator.EQUAL: Operator.NOT_EQUAL, Operator.NOT_EQUAL: Operator.EQUAL}


def parse_condition(text: str, *, task: str) -> tuple[RawComparison, ...]:
    """Read a condition as comparisons that all have to be true; a negation is resolved.

    Args:
        text: The trigger condition as the IR has it.
        task: The task or group that it guards, for errors.

    Raises:
        InputError: It is something else than string equality.
    """
    found: list[RawComparison] = []
    position = 0
    while True:
        comparison, position = _comparison(text, position, task)
        found.append(comparison)
        if position == len(text):
            return tuple(found)
        if not text.startswith(AND, position):
            raise _refused(text, task)
        position += len(AND)


def _comparison(text: str, position: int, task: str) -> tuple[RawComparison, int]:
    negated = NEGATED.match(text, position)
    match = negated or COMPARISON.match(text, position)
    if match is None:
        raise _refused(text, task)
    operator = Operator(match[2])
    return RawComparison(
        left=_operand(match[1]),
        operator=OPPOSITE[operator] if negated else operator,
        right=_operand(match[3]),
    ), match.end()


def _operand(text: str) -> InputName | str:
    if text.startswith(PREFIX):
        return InputName(text.removeprefix(PREFIX).removesuffix(SUFFIX))
    return text[1:-1]


def _refused(text: str, task: str) -> Exception:
    return unsupported(
        task,
        f"the condition {text}",
        fix="compare strings for equality (== or !=); the strings may hold no quote, backslash "
        "or line break; compare a number or a boolean as a str parameter",
    )
