"""What Tekton and Argo have in common: a container in a Kubernetes pod."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.manifest import Place
from coalmine.compiler.task import Resources, Retry
from coalmine.compiler.value import ParameterRef, Value, simple_values

__all__ = [
    "SIMPLE_NAME",
    "longest_wait",
    "note_given",
    "pod_text",
    "resources",
    "stand_ins",
    "to_be_given",
]

SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A parameter name that every target takes as it stands."""


def pod_text(text: str) -> str:
    """Escape a literal for a container's command line or environment.

    The kubelet reads ``$(NAME)`` as a variable and ``$$`` as one dollar sign. A dollar sign at
    the end is escaped too, because something else may follow it in the same argument.
    """
    return re.sub(r"\$(?=[$(]|\Z)", "$$", text)


def to_be_given(graph: Graph) -> list[str]:
    """Name the optional parameters without a default that a run cannot do without.

    Only an input of a task has a default of its own; a condition, an f-string, a loop and an output
    of the whole have nothing that could stand in a parameter's place.
    """
    used: list[Value] = [
        side for task in graph.tasks for one in task.when for side in (one.left, one.right)
    ]
    used += [loop.items for loop in graph.loops] + [value for _, value in graph.outputs]
    for task in (*graph.tasks, *([graph.exit_task] if graph.exit_task else [])):
        used += [
            one
            for _, value in task.arguments
            if not isinstance(value, ParameterRef)
            for one in simple_values(value)
        ]
    optional = {item.name for item in graph.parameters if item.optional}
    return sorted({one.name for one in used if isinstance(one, ParameterRef)} & optional)


def note_given(names: Sequence[str]) -> list[str]:
    """Say which parameters a run cannot do without, although the pipeline calls them optional."""
    if not names:
        return []
    return [f"A condition, an f-string or a loop needs what is optional: give {', '.join(names)}."]


def stand_ins(graph: Graph, target: str, given: Collection[str] = ()) -> dict[str, str]:
    """Find what an optional parameter without a default has to be when it is not given.

    Both engines know one value of a parameter and nothing like its absence. So the default of
    what takes the parameter becomes the parameter's own, if all that take it agree.

    Args:
        graph: The pipeline.
        target: For the error.
        given: Parameters that have to be given, and so need none.

    Raises:
        InputError: They do not.
    """
    found: dict[str, str] = {}
    for task, name, otherwise in _takers(graph):
        if name in given:
            continue
        if found.setdefault(name, otherwise) != otherwise:
            raise InputError(
                f"{Place(task, f'parameter {name!r}', target)}: left without a value it would "
                f"have to be both {found[name]!r} and {otherwise!r}",
                fix="give the parameter a default in the pipeline, or run it locally or on kfp",
            )
    return found


def _takers(graph: Graph) -> Iterator[tuple[str, str, str]]:
    optional = {item.name for item in graph.parameters if item.optional}
    for task in (*graph.tasks, *([graph.exit_task] if graph.exit_task else [])):
        for _, value in task.arguments:
            if isinstance(value, ParameterRef) and value.name in optional:
                yield task.name, value.name, value.otherwise or ""


def resources(wanted: Resources) -> dict[str, Any]:
    """Write resources the way Kubernetes has them; empty where nothing is said."""
    pairs = {
        "requests": {"cpu": wanted.cpu_request, "memory": wanted.memory_request},
        "limits": {"cpu": wanted.cpu_limit, "memory": wanted.memory_limit},
    }
    kind_of, count = wanted.accelerator
    pairs["limits"][kind_of] = count
    said = {kind: {key: item for key, item in of.items() if item} for kind, of in pairs.items()}
    return {kind: of for kind, of in said.items() if of}


def longest_wait(retry: Retry) -> float:
    """Work out the wait before the last retry, in seconds, were there no limit to it."""
    return float(retry.backoff_seconds * retry.backoff_factor ** (retry.max_retries - 1))
