"""What must be true for a task to run: two values, compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.value import Value

__all__ = [
    "Comparison",
    "Condition",
    "Operator",
]


class Operator(StrEnum):
    """How a condition compares."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="

    @property
    def opposite(self) -> Operator:
        """The operator that holds where this one does not; NaN has none for an order."""
        return _OPPOSITES[self]

    @property
    def mirrored(self) -> Operator:
        """The operator that says the same with the sides exchanged."""
        return _MIRRORED.get(self, self)

    @property
    def orders(self) -> bool:
        """Tell whether it asks for more than equality."""
        return self in _MIRRORED


_OPPOSITES = {
    Operator.EQUAL: Operator.NOT_EQUAL,
    Operator.NOT_EQUAL: Operator.EQUAL,
    Operator.LESS: Operator.GREATER_OR_EQUAL,
    Operator.LESS_OR_EQUAL: Operator.GREATER,
    Operator.GREATER: Operator.LESS_OR_EQUAL,
    Operator.GREATER_OR_EQUAL: Operator.LESS,
}
_MIRRORED = {
    Operator.LESS: Operator.GREATER,
    Operator.LESS_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    Operator.GREATER: Operator.LESS,
    Operator.GREATER_OR_EQUAL: Operator.LESS_OR_EQUAL,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values, read as a type and compared.

    Attributes:
        left: A value.
        operator: How they are compared.
        right: The other.
        type: What the texts of both are read as; see ``compare.read``.
        negated: True where the comparison must not hold. Only an order of doubles is ever negated:
            all others are said by the opposite operator, which a NaN has none of.
    """

    left: Value
    operator: Operator
    right: Value
    type: ParameterType = ParameterType.STRING
    negated: bool = False


Condition = Comparison
"""What must be true for a task to run. A task's conditions all have to be true."""
