"""Values as Kubeflow Pipelines wants them: JSON of the parameter's own type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.parameter import ParameterType

__all__ = ["typed"]

READ: Mapping[ParameterType, Callable[[str], object]] = {
    ParameterType.INTEGER: int,
    ParameterType.DOUBLE: float,
    ParameterType.BOOLEAN: lambda text: text.lower() == "true",
    ParameterType.LIST: json.loads,
    ParameterType.STRUCT: json.loads,
}


def typed(graph: Graph, values: Mapping[str, str]) -> dict[str, object]:
    """Read values by the types of a pipeline's parameters.

    Raises:
        InputError: One cannot be read so; the message names it.
    """
    types = {one.name: one.type for one in graph.parameters}
    found: dict[str, object] = {}
    for name, text in values.items():
        try:
            found[name] = READ.get(types[name], str)(text)
        except ValueError:
            raise InputError(f"{text!r} is no {types[name].value}", field=name) from None
    return found
