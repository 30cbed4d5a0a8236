"""The flat graph: what a pipeline is once its nesting is undone.

Every target is lowered from this graph and the local engine runs it, so a pipeline means the same
wherever it goes. It is data only: frozen, hashable, without a word of any target or of any step.

A task starts when every task it names (by an input, a condition or ``after``) has succeeded and
every one of its conditions is true. It is skipped when a condition is false or when something it
waits for was skipped or failed. Two weaker ways of waiting are for the ends of groups: ``passed``
forgives a skip, ``behind`` forgives everything. The exit task, if there is one, runs once all
others have ended, however they ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from coalmine.compiler.podspec import Pod

__all__ = [
    "Artifact",
    "ArtifactPath",
    "Comparison",
    "Condition",
    "Constant",
    "ExecutorText",
    "FinalStatus",
    "Gathered",
    "Graph",
    "Imported",
    "InputRef",
    "Joined",
    "Listed",
    "Loop",
    "LoopItem",
    "OneOf",
    "Operator",
    "OutputPath",
    "Parameter",
    "ParameterRef",
    "ParameterType",
    "Part",
    "Piece",
    "Resources",
    "Retry",
    "RunFact",
    "Task",
    "TaskOutputRef",
    "Turn",
    "Value",
    "map_value",
    "needed",
    "references",
    "simple_values",
]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""What a task's name looks like: legal as it stands on every target (RFC 1123 label)."""


class ParameterType(StrEnum):
    """The type of a parameter, in KFP IR's own words."""

    STRING = "STRING"
    INTEGER = "NUMBER_INTEGER"
    DOUBLE = "NUMBER_DOUBLE"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input of the pipeline or of a task.

    Attributes:
        name: As the pipeline's author wrote it.
        type: Its type; values travel as strings all the same.
        default: The value as a string when none is given; None where one must be given.
        description: For help texts.
        optional: It may be left without any value; what takes it is then left to its own default.
    """

    name: str
    type: ParameterType = ParameterType.STRING
    default: str | None = None
    description: str = ""
    optional: bool = False


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


@dataclass(frozen=True, slots=True)
class InputRef:
    """The place in a command line where a task's input goes."""

    name: str


@dataclass(frozen=True, slots=True)
class OutputPath:
    """The place in a command line where the path of a file to write an output to goes."""

    name: str


@dataclass(frozen=True, slots=True)
class ArtifactPath:
    """The place in a command line where the path of an artifact goes: to read, or to write."""

    name: str
    made: bool = False


class ExecutorText(StrEnum):
    """The place in a command line where KFP's executor input goes, or the path of its output."""

    INPUT = "input"
    OUTPUT = "output"


Part = str | InputRef | OutputPath | ArtifactPath | ExecutorText | RunFact
Piece = tuple[Part, ...]
"""One argument: its parts are joined without a separator."""


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


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed task is tried again.

    Attributes:
        max_retries: Tries after the first.
        backoff_seconds: Wait before the first retry.
        backoff_factor: What the wait is multiplied with after each retry.
        backoff_max_seconds: The longest wait; None where there is no limit.
    """

    max_retries: int
    backoff_seconds: float = 0.0
    backoff_factor: float = 2.0
    backoff_max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for and may use at most, as Kubernetes quantities; empty: unsaid.

    An accelerator is the name of its resource and how many.
    """

    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    accelerator: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that a task takes or makes.

    Attributes:
        name: As its component names it.
        type: Its schema's title, such as ``system.Model``.
        version: Its schema's version.
    """

    name: str
    type: str = "system.Artifact"
    version: str = "0.0.1"


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a loop that has been undone.

    Attributes:
        loop: The loop.
        at: Which turn, counted from zero.
        limit: How many turns may be under way at once; None where there is no limit.
    """

    loop: str
    at: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One container to run.

    Attributes:
        name: Unique in the graph, a legal name on every target (see ``NAME``).
        component: The name of the component it was made from.
        image: The container image.
        command: The entrypoint's arguments; empty where the image's own is meant.
        args: The arguments behind it.
        inputs: What the component takes, in its order.
        arguments: What each input gets, in the inputs' order. An input without an entry has no
            value here and takes its default. Those of the artifacts stand behind them.
        outputs: The parameters it writes.
        taken: The artifacts it reads.
        made: The artifacts it writes.
        after: Tasks that must have succeeded first although nothing of theirs is used.
        passed: Tasks that must have ended first and must not have failed; they may be skipped.
        behind: Tasks that must have ended first, however they ended. An argument that one of them
            did not write is left to the input's default.
        when: All must be true.
        loops: The loops it stands in, from the outside in; it is run once for each turn.
        turns: The turns it is part of, of the loops around it that have been undone.
        retry: None where it is tried once.
        timeout_seconds: For one try; None where there is no limit.
        env: Environment variables, name and value.
        resources: What it asks for.
        pod: What kfp-kubernetes says of its pod.
        title: What people are shown in place of its name; empty for the name.
    """

    name: str
    component: str
    image: str
    command: tuple[Piece, ...] = ()
    args: tuple[Piece, ...] = ()
    inputs: tuple[Parameter, ...] = ()
    arguments: tuple[tuple[str, Value], ...] = ()
    outputs: tuple[Parameter, ...] = ()
    taken: tuple[Artifact, ...] = ()
    made: tuple[Artifact, ...] = ()
    after: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    loops: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    retry: Retry | None = None
    timeout_seconds: int | None = None
    env: tuple[tuple[str, str], ...] = ()
    resources: Resources = field(default_factory=Resources)
    pod: Pod = field(default_factory=Pod)
    title: str = ""

    def values(self) -> list[Value]:
        """List every value it uses, those of its conditions included."""
        used = [one for _, value in self.arguments for one in simple_values(value)]
        return used + [side for item in self.when for side in (item.left, item.right)]

    def depends_on(self) -> frozenset[str]:
        """Name the tasks that have to succeed first: by an input, a condition, or ``after``."""
        used = {found.task for value in self.values() for found in needed(value)}
        return frozenset((used | set(self.after)) - set(self.behind))

    def follows(self) -> frozenset[str]:
        """Name every task that has to end first, in whatever way it is waited for."""
        used = {found.task for value in self.values() for found in references(value)}
        return frozenset(used.union(self.after, self.passed, self.behind))

    @property
    def takes_executor_input(self) -> bool:
        """Tell whether it speaks KFP's executor protocol, as Python function components do."""
        pieces = (*self.command, *self.args)
        return any(isinstance(part, ExecutorText) for piece in pieces for part in piece)

    def with_values(self, of: Callable[[Value], Value]) -> Task:
        """Replace each value that it uses."""

        def compared(item: Condition) -> Condition:
            return replace(item, left=map_value(item.left, of), right=map_value(item.right, of))

        return replace(
            self,
            arguments=tuple((name, map_value(value, of)) for name, value in self.arguments),
            when=tuple(compared(item) for item in self.when),
        )


@dataclass(frozen=True, slots=True)
class Loop:
    """Tasks that run once for each item of a list, side by side.

    Attributes:
        name: Unique in the graph, also among the tasks.
        items: The list, as JSON.
        limit: How many turns may be under way at once; None where there is no limit.
        loops: The loops around it, from the outside in.
    """

    name: str
    items: Value
    limit: int | None = None
    loops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole pipeline, flat.

    Attributes:
        name: The pipeline's name, a legal name on every target.
        description: What it is for.
        parameters: What it takes, in the author's order.
        tasks: In an order in which each stands behind what it waits for.
        exit_task: Runs when all others have ended, however; None if there is none.
        outputs: What the pipeline as a whole gives, by name.
        loops: The loops that its tasks stand in, each behind those around it.
    """

    name: str
    parameters: tuple[Parameter, ...]
    tasks: tuple[Task, ...]
    exit_task: Task | None = None
    description: str = ""
    outputs: tuple[tuple[str, Value], ...] = ()
    loops: tuple[Loop, ...] = ()
