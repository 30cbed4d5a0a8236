"""The graph as an Argo WorkflowTemplate.

What Argo does that shapes this (measured on Argo 3.7): a bare ``when`` fails on quotes, blanks
and empty values and a quoted one can be injected, so conditions are expressions. ``depends: a``
would be true for a skipped ``a`` too, so each dependency says ``.Succeeded``. ``{{`` in a value is
evaluated again, so literals with it are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.argo_artifacts import LoopArtifacts, artifact_source
from coalmine.compiler.argo_dag import Dags
from coalmine.compiler.argo_status import final_status
from coalmine.compiler.argo_template import container_template, note_rounded, said
from coalmine.compiler.argo_text import TARGET, exact, legal_name, value_text
from coalmine.compiler.argo_value import Names, ran
from coalmine.compiler.argo_when import quoted
from coalmine.compiler.argo_wrap import (
    about_parameters,
    artifact_arguments,
    parameter_names,
    uri_name,
    wrapping,
)
from coalmine.compiler.graph import Graph
from coalmine.compiler.levels import Levels
from coalmine.compiler.manifest import Manifest, Place
from coalmine.compiler.pages import note_pages, without_pages
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.pod import (
    note_given,
    stand_ins,
    to_be_given,
)
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Gathered,
    Imported,
    OneOf,
    TaskOutputRef,
    Value,
    references,
)
from coalmine.compiler.wrap import left_out, note

__all__ = ["lower"]

ENTRYPOINT = "pipeline"


def lower(graph: Graph) -> Manifest:
    """Write a graph as an Argo WorkflowTemplate.

    Raises:
        InputError: A value or a name cannot be said in Argo; names the task and the value.
    """
    told, graph = note_pages(graph), without_pages(graph)
    required = to_be_given(graph)
    levels = Levels(graph)
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    described = {task.name for task in tasks if task.takes_executor_input}

    def arguments(task: Task, names: Names) -> dict[str, Any]:
        given = {
            "parameters": _arguments(task, names, described),
            "artifacts": artifact_arguments(task, names),
        }
        return said(given) or {}

    dags = Dags(levels, arguments, exact, LoopArtifacts(levels, described))
    entrypoint = _free_name({task.name for task in tasks} | {loop.name for loop in graph.loops})
    compared = dags.compared(())
    spec: dict[str, Any] = {"entrypoint": entrypoint}
    if graph.exit_task is not None:
        spec["onExit"] = graph.exit_task.name
    spec |= _pull_secrets(tasks)
    if graph.parameters:
        defaults = stand_ins(graph, TARGET, required)
        spec["arguments"] = {
            "parameters": [_parameter(item, defaults) for item in graph.parameters]
        }
    dag: dict[str, Any] = {"name": entrypoint}
    if compared:
        dag["inputs"] = {"parameters": [_passed_on(name) for name in compared]}
    if graph.outputs:
        dag["outputs"] = _outputs(graph, Names(levels))
    dag["dag"] = dags.dag(())
    spec["templates"] = [dag, *dags.templates()]
    for task in graph.tasks:
        inputs = [{"name": name} for name in parameter_names(task, described)]
        wrap = wrapping(task, left_out(task, graph), described)
        spec["templates"].append(container_template(task, inputs, wrap))
    if graph.exit_task is not None:
        exit_task = graph.exit_task
        wrap = wrapping(exit_task, left_out(exit_task, graph), described)
        given = _arguments(exit_task, Names(levels), described)
        spec["templates"].append(container_template(exit_task, given, wrap))
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": _metadata(graph),
        "spec": spec,
    }
    return Manifest(document, (*note(tasks), *note_rounded(tasks), *note_given(required), *told))


def _pull_secrets(tasks: tuple[Task, ...]) -> dict[str, Any]:
    """Write what the tasks say: Argo has it for the whole workflow only."""
    names = sorted({name for task in tasks for name in task.pod.pull_secrets})
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}


def _metadata(graph: Graph) -> dict[str, Any]:
    if not graph.description:
        return {"name": graph.name}
    notes = {"workflows.argoproj.io/description": graph.description}
    return {"name": graph.name, "annotations": notes}


def _free_name(taken: set[str]) -> str:
    name = ENTRYPOINT
    while name in taken:
        name += "-main"
    return name


def _parameter(item: Parameter, defaults: Mapping[str, str]) -> dict[str, str]:
    where = Place("", f"parameter {item.name!r}", TARGET)
    written = {"name": legal_name(item.name, where)}
    if item.description:
        written["description"] = item.description
    default = defaults.get(item.name, item.default)
    if default is not None:
        written["value"] = exact(default, where)
    return written


def _outputs(graph: Graph, names: Names) -> dict[str, Any]:
    made = {(task.name, item.name) for task in graph.tasks for item in task.made}
    outputs: dict[str, Any] = {"parameters": [], "artifacts": []}
    for name, value in graph.outputs:
        if isinstance(value, TaskOutputRef | OneOf) and made.issuperset(
            (one.task, one.output) for one in references(value)
        ):
            source = artifact_source(value, names)
            outputs["artifacts"].append({"name": name, **source})
        else:
            outputs["parameters"].append(_output(name, value, names))
    return {kind: items for kind, items in outputs.items() if items}


def _output(name: str, value: Value, names: Names) -> dict[str, Any]:
    where = Place("", f"output {name!r}", TARGET)
    # A workflow may not ask for what a skipped task has not written, unless it says what instead.
    taken = {"parameter": value_text(value, where, names), "default": ""}
    if isinstance(value, OneOf | Gathered):
        taken = {"expression": names.source(value), "default": ""}
    return {"name": legal_name(name, where), "valueFrom": taken}


def _passed_on(name: str) -> dict[str, str]:
    return {"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"}


def _arguments(task: Task, names: Names, described: Collection[str]) -> list[dict[str, str]]:
    """Give every input its value, its default where the pipeline gives none."""
    given = dict(task.arguments)
    found = []
    for item in task.inputs:
        where = Place(task.name, f"argument {item.name!r}", TARGET)
        value = given.get(item.name, Constant(item.default or ""))
        if isinstance(value, FinalStatus):
            found.append({"name": item.name, "value": final_status(value, task, names)})
            continue
        text = value_text(value, where, names)
        _check_certain(value, task, where)
        if isinstance(value, TaskOutputRef) and value.task in task.behind:
            default = quoted(item.default or "", where)
            text = f"{{{{= {ran(value.task)} ? {names.source(value)} : {default} }}}}"
        found.append({"name": legal_name(item.name, where), "value": text})
    for name, value in task.arguments:
        if isinstance(value, Imported):
            where = Place(task.name, f"argument {name!r}", TARGET)
            found.append({"name": uri_name(name), "value": value_text(value, where, names)})
    return [*found, *about_parameters(task, names, described)]


def _check_certain(value: Value, task: Task, where: Place) -> None:
    """See that nothing is made of what may have failed, where no default can take its place."""
    unsure = sorted({one.task for one in references(value)}.intersection(task.behind))
    if unsure and not isinstance(value, TaskOutputRef):
        raise InputError(
            f"{where}: it is made of a value of {unsure[0]}, which may have failed",
            fix="give the value to an input of its own, or compile for kfp",
        )
