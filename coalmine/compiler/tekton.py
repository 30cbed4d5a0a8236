"""The graph as a Tekton ``v1`` Pipeline.

What Tekton does that shapes this (measured on Tekton 1.15): a task that only follows a skipped
one by ``runAfter`` runs all the same, so each task repeats the conditions of everything it waits
for. ``$(...)`` in a value is expanded again, so literals that look like Tekton's variables are
refused. There is no wait between retries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.branches import split_choices
from coalmine.compiler.graph import Graph
from coalmine.compiler.guards import with_guards
from coalmine.compiler.manifest import Manifest, Place
from coalmine.compiler.order import ancestors, inherited_conditions, waits_for
from coalmine.compiler.pages import note_pages, without_pages
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.pod import note_given, stand_ins, to_be_given
from coalmine.compiler.tekton_limits import check_ends, without_loops
from coalmine.compiler.tekton_names import TARGET, check_cases, checked_name, checked_result
from coalmine.compiler.tekton_notes import notes_of, notes_of_guards
from coalmine.compiler.tekton_task import task_at_the_end, task_of
from coalmine.compiler.tekton_text import exact
from coalmine.compiler.tekton_when import asks_too_much
from coalmine.compiler.tekton_wrap import WORKSPACE, has_workspace, value_text
from coalmine.compiler.value import Imported, OneOf, TaskOutputRef, Value, references
from coalmine.compiler.wrap import left_out

__all__ = ["lower"]


def lower(graph: Graph, *, guard_image: str = "") -> Manifest:
    """Write a graph as a Tekton Pipeline.

    Args:
        graph: The pipeline.
        guard_image: What runs where a condition needs more than texts; see ``guards``.

    Raises:
        InputError: A value or a name cannot be said in Tekton; names the task and the value.
    """
    told, graph = note_pages(graph), without_pages(graph)
    required = to_be_given(graph)
    graph = split_choices(without_loops(graph))
    check_ends(graph)
    guarded = with_guards(graph, asks_too_much, guard_image)
    graph = guarded.graph
    above = ancestors(graph.tasks)
    conditions = inherited_conditions(graph.tasks)
    last = [task for task in graph.tasks if task.behind]
    spec: dict[str, Any] = {}
    if graph.description:
        spec["description"] = graph.description
    defaults = stand_ins(graph, TARGET, required)
    check_cases((item.name for item in graph.parameters), "")
    spec["params"] = [_parameter(item, defaults) for item in graph.parameters]
    spec["workspaces"] = _workspaces(graph)
    spec["tasks"] = [
        task_of(task, conditions[task.name], waits_for(task, above), left_out(task, graph))
        for task in graph.tasks
        if not task.behind
    ]
    made = {(task.name, item.name) for task in graph.tasks for item in task.made}
    ending = {task.name for task in last}
    spec["results"] = [
        _result(name, value, ending)
        for name, value in graph.outputs
        if not _is_artifact(value, made)
    ]
    spec["finally"] = [
        task_at_the_end(task, conditions[task.name], left_out(task, graph)) for task in last
    ]
    if graph.exit_task is not None:
        absent = left_out(graph.exit_task, graph)
        spec["finally"].append(task_of(graph.exit_task, (), [], absent))
    document = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": graph.name},
        "spec": {key: value for key, value in spec.items() if value},
    }
    return Manifest(
        document, (*notes_of_guards(guarded), *notes_of(graph), *note_given(required), *told)
    )


def _parameter(item: Parameter, defaults: Mapping[str, str]) -> dict[str, str]:
    where = Place("", f"parameter {item.name!r}", TARGET)
    written = {"name": checked_name(item.name, where), "type": "string"}
    if item.description:
        written["description"] = item.description
    default = defaults.get(item.name, item.default)
    if default is not None:
        written["default"] = exact(default, where)
    return written


def _result(name: str, value: Value, ending: Collection[str]) -> dict[str, str]:
    """Write an output of the whole; tasks of ``finally`` are asked by another word."""
    where = Place("", f"output {name!r}", TARGET)
    if isinstance(value, OneOf):
        raise InputError(
            f"{where}: it is a value of one of several branches, and a result of a Tekton pipeline "
            "comes from one task",
            fix="let a task take the value and write it, or compile for argo or kfp",
        )
    text = value_text(value, where)
    if any(found.task in ending for found in references(value)):
        text = text.replace("$(tasks.", "$(finally.")
    return {"name": checked_result(name, where), "type": "string", "value": text}


def _is_artifact(value: Value, made: set[tuple[str, str]]) -> bool:
    """Tell whether an output is an artifact: it stays in the workspace, see the notes."""
    if isinstance(value, TaskOutputRef | OneOf):
        return made.issuperset((one.task, one.output) for one in references(value))
    return isinstance(value, Imported)


def _workspaces(graph: Graph) -> list[dict[str, str]]:
    if not has_workspace(graph):
        return []
    return [{"name": WORKSPACE, "description": "Holds the artifacts of a run, side by side."}]
