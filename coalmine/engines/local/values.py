"""What a value of the graph is in a run, as the text that a container gets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from coalmine._base.errors import InputError
from coalmine.compiler.items import list_text
from coalmine.compiler.jsontext import json_text
from coalmine.compiler.value import (
    Constant,
    Imported,
    Joined,
    Listed,
    OneOf,
    ParameterRef,
    RunFact,
    TaskOutputRef,
    Value,
)
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.facts import fact
from coalmine.engines.protocol import TaskState

__all__ = ["chosen", "value_of"]


def value_of(value: Value, parameters: Mapping[str, str], ended: Mapping[str, Ended]) -> str:
    """Give the text of a value.

    Raises:
        InputError: A parameter without a value, or an output that was never written.
    """
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, ParameterRef):
        found = parameters.get(value.name, value.otherwise)
        if found is None:
            raise InputError("has no value in this run", field=value.name, fix="give one")
        return found
    if isinstance(value, OneOf):
        value = chosen(value, ended) or value.choices[0]
    if isinstance(value, Listed | RunFact | Joined | Imported):
        return _composed(value, parameters, ended)
    if not isinstance(value, TaskOutputRef):
        raise TypeError(f"{value} has no value while its loop is not undone")
    task = ended.get(value.task)
    if task is None or value.output not in task.outputs:
        raise InputError(f"the output {value.output} of task {value.task} was never written")
    return task.outputs[value.output]


def _composed(
    value: Listed | RunFact | Joined | Imported,
    parameters: Mapping[str, str],
    ended: Mapping[str, Ended],
) -> str:
    match value:
        case Listed(values, kind):
            return list_text([value_of(item, parameters, ended) for item in values], kind)
        case RunFact():
            return parameters[fact(value)]
        case Joined(parts):
            return "".join(value_of(part, parameters, ended) for part in parts)
        case Imported():
            return _described(value, value_of(value.uri, parameters, ended))


def _described(value: Imported, uri: str) -> str:
    schema = {"schemaTitle": value.type, "schemaVersion": value.version}
    metadata = json.loads(value.metadata)
    return json_text({"name": "artifact", "type": schema, "uri": uri, "metadata": metadata})


def chosen(value: OneOf, ended: Mapping[str, Ended]) -> TaskOutputRef | None:
    """Give the output of the one task that ran; None where none did."""
    ran = (item for item in value.choices if ended[item.task].state is TaskState.SUCCEEDED)
    return next(ran, None)
