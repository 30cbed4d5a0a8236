"""The two sides of a condition, resolved: which values, and as what they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Comparison
from coalmine.compiler.ir.conditions import InputName, Literal, RawComparison, parse_condition
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.parameter import ParameterType
from coalmine.compiler.value import Constant, Imported, Joined, RunFact, Value

__all__ = ["Operands"]

NUMBERS = {ParameterType.INTEGER, ParameterType.DOUBLE}


@dataclass(frozen=True, slots=True)
class Operands:
    """Where the operands of one condition come from.

    Attributes:
        inputs: The inputs of the guarded task or group that have a value.
        types: The type of each of its inputs.
        text: The condition, for errors.
        task: What it guards, for errors.
    """

    inputs: Mapping[str, Value]
    types: Mapping[str, ParameterType]
    text: str
    task: str

    def comparisons(self) -> tuple[Comparison, ...]:
        """Read the condition.

        Raises:
            InputError: It is not supported, or compares what cannot be compared.
        """
        return tuple(self._comparison(raw) for raw in parse_condition(self.text, task=self.task))

    def _comparison(self, raw: RawComparison) -> Comparison:
        kinds = {self._type(raw.left), self._type(raw.right)}
        if len(kinds) > 1 and not kinds <= NUMBERS:
            one, other = sorted(kind.value for kind in kinds)
            raise unsupported(
                self.task,
                f"the condition {self.text}, which compares {one} with {other}",
                fix="compare values of one type",
            )
        if kinds & {ParameterType.LIST, ParameterType.STRUCT}:
            raise unsupported(
                self.task, f"the condition {self.text}, which compares lists or dicts"
            )
        kind = ParameterType.DOUBLE if kinds == NUMBERS else kinds.pop()
        # What is not less than a NaN is not greater or equal either.
        keep = raw.negated and kind is ParameterType.DOUBLE and raw.operator.orders
        return Comparison(
            left=self._value(raw.left),
            operator=raw.operator.opposite if raw.negated and not keep else raw.operator,
            right=self._value(raw.right),
            type=kind,
            negated=keep,
        )

    def _type(self, operand: InputName | Literal) -> ParameterType:
        if isinstance(operand, Literal):
            return operand.type
        self._check_known(operand.name)
        declared = self.types[operand.name]
        if operand.type is None:
            return declared
        if declared not in {operand.type, ParameterType.INTEGER}:
            raise unsupported(
                self.task,
                f"the condition {self.text}, which takes {declared.value} as {operand.type.value}",
            )
        return operand.type

    def _check_known(self, name: str) -> None:
        if name not in self.types or name not in self.inputs:
            raise InputError(
                f"task {self.task!r}: the condition {self.text} reads {name!r}, which has no value",
                fix="compile the pipeline again",
            )

    def _value(self, operand: InputName | Literal) -> Value:
        if isinstance(operand, Literal):
            return Constant(operand.text)
        found = self.inputs[operand.name]
        if isinstance(found, Joined | RunFact | Imported):
            raise unsupported(self.task, f"the condition {self.text}, which reads an f-string")
        return found
