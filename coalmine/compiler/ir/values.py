"""Values as the strings that a container gets, the way the KFP backend writes them."""

from __future__ import annotations

import re

from coalmine._base.errors import InputError
from coalmine.compiler.ir.models import ParameterSpec
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.jsontext import is_json, json_text, number_text
from coalmine.compiler.parameter import Parameter, ParameterType

__all__ = ["parameter", "parameter_type", "seconds", "to_text"]

FINAL_STATUS = "TASK_FINAL_STATUS"
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


def parameter(name: str, spec: ParameterSpec, *, task: str) -> Parameter:
    """Read one parameter of a component or of the pipeline."""
    kind = parameter_type(name, spec, task=task)
    default = None
    if spec.has_default:
        default = to_text(spec.default_value, kind, what=f"the default of {name!r}", task=task)
    return Parameter(
        name, kind, default, spec.description, optional=spec.is_optional and not spec.has_default
    )


def parameter_type(name: str, spec: ParameterSpec, *, task: str) -> ParameterType:
    """Read a parameter's type."""
    if spec.parameter_type == FINAL_STATUS:
        return ParameterType.STRUCT
    try:
        return ParameterType(spec.parameter_type)
    except ValueError:
        raise unsupported(
            task,
            f"the parameter {name!r} of type {spec.parameter_type}",
            fix="use str, int, float, bool, list or dict",
        ) from None


def to_text(value: object, kind: ParameterType | None, *, what: str, task: str) -> str:
    """Write a value as the string a container gets.

    Whole numbers have no point, other numbers are written out without an exponent, booleans are
    ``true`` and ``false``, lists and dicts are JSON; text is left as it is, to the byte.

    Args:
        value: As YAML gave it.
        kind: The type it should have; None where any will do.
        what: What it is, for the error.
        task: Whose it is, for the error.

    Raises:
        InputError: The value does not fit its type.
    """
    text = _text(value)
    if text is None or (kind is not None and not _fits(value, kind)):
        expected = kind.value if kind else "string, number or boolean"
        where = f"task {task!r}" if task else "the pipeline"
        raise InputError(
            f"{where}: {what} is {value!r}, which is no {expected}", fix="give a value of its type"
        )
    return text


def seconds(text: str, *, what: str, task: str) -> float:
    """Read a duration such as ``10s``."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise InputError(
            f"task {task!r}: {what} is {text!r}, which is no duration", fix="write it like 10s"
        )
    return float(match[1])


def _text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float() if value - value == 0:
            return number_text(value)
        case list() | dict() if is_json(value):
            return json_text(value)
        case _:
            return None


def _fits(value: object, kind: ParameterType) -> bool:
    match kind:
        case ParameterType.STRING:
            return isinstance(value, str)
        case ParameterType.BOOLEAN:
            return isinstance(value, bool)
        case ParameterType.INTEGER:
            return _is_number(value) and float(value) == int(value)  # type: ignore[call-overload,arg-type]
        case ParameterType.DOUBLE:
            return _is_number(value)
        case ParameterType.LIST:
            return isinstance(value, list)
        case ParameterType.STRUCT:
            return isinstance(value, dict)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
