"""The parameters of a run: given, left to their defaults, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coalmine._base.errors import InputError
from coalmine.compiler.compare import normal
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import Parameter

__all__ = ["parameters_of", "with_defaults"]


def parameters_of(graph: Graph, given: Mapping[str, str]) -> dict[str, str]:
    """Give every pipeline parameter its value, and refuse what the pipeline does not take.

    An optional one without a value is left out.

    Raises:
        InputError: A parameter is unknown, missing, or no value of its type.
    """
    known = {parameter.name: parameter for parameter in graph.parameters}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise InputError(
            f"the pipeline {graph.name} takes no such parameter",
            field=unknown[0],
            fix=f"it takes: {', '.join(known)}",
        )
    values = with_defaults(graph.parameters, given, f"the pipeline {graph.name}")
    return {name: _typed(known[name], value) for name, value in values.items()}


def with_defaults(
    declared: Iterable[Parameter], given: Mapping[str, str], owner: str
) -> dict[str, str]:
    """Give each its value or its default; an optional one without either is left out.

    Raises:
        InputError: One has neither.
    """
    values: dict[str, str] = {}
    for parameter in declared:
        value = given.get(parameter.name, parameter.default)
        if value is None and parameter.optional:
            continue
        if value is None:
            raise InputError(f"{owner} needs a value", field=parameter.name, fix="give one")
        values[parameter.name] = value
    return values


def _typed(parameter: Parameter, value: str) -> str:
    try:
        return normal(value, parameter.type)
    except InputError as error:
        raise InputError(error.message, field=parameter.name, fix=error.fix) from None
