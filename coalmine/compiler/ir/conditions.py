"""The conditions of ``dsl.If``, ``Elif`` and ``Else``, in the CEL that the KFP SDK writes.

The SDK joins comparisons with ``&&`` and wraps the ones of earlier branches in ``!( )``. It pastes
strings between single quotes without escaping them, so a quote or a backslash in one can mean
anything: such a condition is refused. It does the same with an int, a float or a bool output that
is compared with a string, and what it then writes is no CEL: that is refused too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Operator
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.ir.values import to_text
from coalmine.compiler.parameter import ParameterType

__all__ = ["InputName", "Literal", "RawComparison", "parse_condition"]


@dataclass(frozen=True, slots=True)
class InputName:
    """An operand that is the value of an input of the group the condition guards.

    Attributes:
        name: The input.
        type: What it is cast to; None where it is taken as it is.
    """

    name: str
    type: ParameterType | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """An operand that is known: its text, as a container would get it, and its type."""

    text: str
    type: ParameterType


@dataclass(frozen=True, slots=True)
class RawComparison:
    """A comparison whose inputs are not resolved yet."""

    left: InputName | Literal
    operator: Operator
    right: InputName | Literal
    negated: bool = False


INPUT = r"inputs\.parameter_values\['[^'\\]+'\]"
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
OPERAND = (
    rf"({INPUT}|int\({INPUT}\)|double\((?:{INPUT}|int\({INPUT}\)|{NUMBER})\)"
    rf"|'[^'\\\r\n]*'|{NUMBER}|true|false)"
)
COMPARISON = re.compile(rf"{OPERAND} (==|!=|<=|>=|<|>) {OPERAND}")
NEGATED = re.compile(rf"!\({COMPARISON.pattern}\)")
AND = " && "
CASTS = {"int(": ParameterType.INTEGER, "double(": ParameterType.DOUBLE}
NAME = re.compile(r"\['([^']+)'\]")


def parse_condition(text: str, *, task: str) -> tuple[RawComparison, ...]:
    """Read a condition as comparisons that all have to be true.

    Args:
        text: The trigger condition as the IR has it.
        task: The task or group that it guards, for errors.

    Raises:
        InputError: It is something else than comparisons of inputs and literals.
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
    return RawComparison(
        left=_operand(match[1], task),
        operator=Operator(match[2]),
        right=_operand(match[3], task),
        negated=negated is not None,
    ), match.end()


def _operand(text: str, task: str) -> InputName | Literal:
    if text.startswith("'"):
        return Literal(text[1:-1], ParameterType.STRING)
    if text in {"true", "false"}:
        return Literal(text, ParameterType.BOOLEAN)
    cast = next((kind for opening, kind in CASTS.items() if text.startswith(opening)), None)
    if name := NAME.search(text):
        return InputName(name[1], cast)
    return _number(text.removeprefix("double(").removesuffix(")"), cast, task)


def _number(text: str, cast: ParameterType | None, task: str) -> Literal:
    whole = text.lstrip("-").isdecimal()
    kind = cast or (ParameterType.INTEGER if whole else ParameterType.DOUBLE)
    number = int(text) if whole else float(text)
    return Literal(to_text(number, kind, what="a number in its condition", task=task), kind)


def _refused(text: str, task: str) -> InputError:
    return unsupported(
        task,
        f"the condition {text}",
        fix="compare strings, numbers or booleans of one type; the strings may hold no quote, "
        "backslash or line break; compare an int, float or bool output with a value of its type",
    )
