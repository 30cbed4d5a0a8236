"""Where a value of the graph comes from: known, given, written by a task, or made of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from coalmine.compiler.parameter import ParameterType

__all__ = [
    "Constant",
    "FinalStatus",
    "Gathered",
    "Imported",
    "Joined",
    "Listed",
    "LoopItem",
    "OneOf",
    "ParameterRef",
    "RunFact",
    "TaskOutputRef",
    "Value",
    "map_value",
    "needed",
    "references",
    "simple_values",
]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known when the pipeline was compiled, as the string a container gets."""

    value: str


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """The value of a pipeline parameter.

    Attributes:
        name: The parameter.
        otherwise: What stands in its place if it is optional and was left without a value; None
            where the input that takes it then has no value either.
    """

    name: str
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class TaskOutputRef:
    """The value of an output parameter of a task."""

    task: str
    output: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value of the one task that ran, of several of which no two run in the same run."""

    choices: tuple[TaskOutputRef, ...]


class RunFact(StrEnum):
    """What a run knows of itself; the names are those of KFP's placeholders."""

    JOB_NAME = "pipeline_job_name"
    JOB_RESOURCE_NAME = "pipeline_job_resource_name"
    JOB_ID = "pipeline_job_uuid"
    TASK_ID = "pipeline_task_uuid"


@dataclass(frozen=True, slots=True)
class LoopItem:
    """What a loop is at: an item of its list, or what stands in one under a key.

    Attributes:
        loop: The loop.
        path: The keys that lead to it; none for the item itself.
        type: What takes it takes it for.
    """

    loop: str
    path: tuple[str, ...] = ()
    type: ParameterType = ParameterType.STRING


@dataclass(frozen=True, slots=True)
class Gathered:
    """A JSON list of what each turn of a loop gave, in the order of the items.

    Attributes:
        loop: The loop.
        value: What each turn gives.
        type: The type of that.
    """

    loop: str
    value: Value
    type: ParameterType = ParameterType.STRING


@dataclass(frozen=True, slots=True)
class Listed:
    """A JSON list of values: ``Gathered`` once the turns of its loop are known."""

    values: tuple[Value, ...]
    type: ParameterType = ParameterType.STRING


@dataclass(frozen=True, slots=True)
class Joined:
    """Values written one behind the other: an f-string of the pipeline."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """An artifact from outside: of ``dsl.importer``, which runs nothing.

    Attributes:
        uri: Where it is.
        type: Its schema's title.
        version: Its schema's version.
        metadata: What is known of it, as JSON.
    """

    uri: Value
    type: str
    version: str
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class FinalStatus:
    """How what a task runs behind has ended, as JSON: ``dsl.PipelineTaskFinalStatus``.

    It tells of the tasks in ``behind``; for the exit task of a graph, of all.

    Attributes:
        name: What the pipeline calls the task or group that it tells of.
    """

    name: str


Value = (
    Constant
    | ParameterRef
    | TaskOutputRef
    | OneOf
    | LoopItem
    | Gathered
    | Listed
    | RunFact
    | Joined
    | Imported
    | FinalStatus
)


def references(value: Value) -> tuple[TaskOutputRef, ...]:  # noqa: PLR0911 - one for each kind
    """Name every output that a value may be made of."""
    match value:
        case TaskOutputRef():
            return (value,)
        case OneOf(choices):
            return choices
        case Gathered(_, inner, _):
            return references(inner)
        case Listed(values, _):
            return tuple(found for inner in values for found in references(inner))
        case Joined(parts):
            return tuple(found for part in parts for found in references(part))
        case Imported():
            return references(value.uri)
        case _:
            return ()


def needed(value: Value) -> tuple[TaskOutputRef, ...]:
    """Name the outputs without which there is no value; of a choice, no single one is needed."""
    match value:
        case OneOf():
            return ()
        case Joined(parts):
            return tuple(found for part in parts for found in needed(part))
        case Imported():
            return needed(value.uri)
        case _:
            return references(value)


def map_value(value: Value, of: Callable[[Value], Value]) -> Value:
    """Replace a value, and what it is made of from the inside out."""
    match value:
        case OneOf(choices):
            found = tuple(map_value(choice, of) for choice in choices)
            return of(OneOf(tuple(one for item in found for one in references(item))))
        case Gathered(loop, inner, kind):
            return of(Gathered(loop, map_value(inner, of), kind))
        case Listed(values, kind):
            return of(Listed(tuple(map_value(inner, of) for inner in values), kind))
        case Joined(parts):
            return of(Joined(tuple(map_value(part, of) for part in parts)))
        case Imported():
            return of(replace(value, uri=map_value(value.uri, of)))
        case _:
            return of(value)


def simple_values(value: Value) -> tuple[Value, ...]:
    """Take an f-string, a list and the URI of an artifact from outside apart."""
    match value:
        case Joined(parts) | Listed(parts):
            return tuple(one for part in parts for one in simple_values(part))
        case Imported():
            return simple_values(value.uri)
        case _:
            return (value,)
