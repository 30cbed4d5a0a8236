"""What differs between engines whose runs are objects of Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from coalmine.compiler.graph import Graph
from coalmine.engines.kube.answers import Object, Resource
from coalmine.engines.protocol import RunStatus

__all__ = ["Container", "Dialect", "TaskObjects", "name_of"]


class Container(NamedTuple):
    """Where a task writes its log."""

    pod: str
    name: str


@dataclass(frozen=True, slots=True)
class TaskObjects:
    """The objects that tell of a run's tasks.

    Attributes:
        resource: Their kind.
        label: Names their run.
    """

    resource: Resource
    label: str

    def of(self, name: str) -> str:
        """Select those of a run by its name."""
        return f"{self.label}={name}"


class Dialect(Protocol):
    """How an engine says a run. All of it is pure."""

    name: str
    runs: Resource
    tasks: TaskObjects | None
    """None if the run itself tells of its tasks."""
    ending: Mapping[str, Any]
    """The merge patch that ends a run and lets its exit task run."""

    def compile(self, graph: Graph) -> Object:
        """Write a pipeline for this engine; raises `InputError` if it cannot be said."""

    def run(
        self, graph: Graph, metadata: Object, values: Mapping[str, str], compiled: Object | None
    ) -> Object:
        """Write a run: of what was compiled, or of the pipeline of that name in the cluster."""

    def slim(self, item: Object) -> Object:
        """Leave of a run or a task what is needed to read it."""

    def has_ended(self, run: Object) -> bool:
        """Tell whether nothing more will happen to a run."""

    def read(self, run_id: str, run: Object, tasks: Sequence[Object]) -> RunStatus:
        """Read how a run goes."""

    def exit_alone(self, run: Object, metadata: Object) -> Object | None:
        """Write a run of a run's exit task; None if it takes more than the run's parameters."""

    def container(self, run: Object, tasks: Sequence[Object], task: str) -> Container | None:
        """Find where a task writes; None if it has not begun."""


def name_of(run_id: str) -> str:
    """Name the object of a run.

    The name follows from the run's id alone, and the API server takes no name twice. So a run that
    is submitted again, whoever does it and whatever was lost on the way, is the same run; with a
    generateName it would be a second one.
    """
    return f"coalmine-{run_id}"
