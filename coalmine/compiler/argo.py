"""The graph as an Argo WorkflowTemplate.

What Argo does that shapes this (measured on Argo 3.7): a bare ``when`` fails on quotes, blanks
and empty values and a quoted one can be injected, so conditions are expressions. ``depends: a``
would be true for a skipped ``a`` too, so each dependency says ``.Succeeded``. ``{{`` in a value is
evaluated again, so literals with it are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.argo_dag import Dags
from coalmine.compiler.argo_value import Names, ran
from coalmine.compiler.argo_when import quoted
from coalmine.compiler.graph import (
    Constant,
    Gathered,
    Graph,
    InputRef,
    OneOf,
    OutputPath,
    Parameter,
    Piece,
    Retry,
    Task,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.levels import Levels
from coalmine.compiler.manifest import Manifest, Place
from coalmine.compiler.pod import SIMPLE_NAME, longest_wait, pod_text, resources, stand_ins

__all__ = ["lower"]

TARGET = "argo"
ENTRYPOINT = "pipeline"


def lower(graph: Graph) -> Manifest:
    """Write a graph as an Argo WorkflowTemplate.

    Raises:
        InputError: A value or a name cannot be said in Argo; names the task and the value.
    """
    levels = Levels(graph)
    dags = Dags(levels, _arguments, _exact)
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    entrypoint = _free_name({task.name for task in tasks} | {loop.name for loop in graph.loops})
    compared = dags.compared(())
    spec: dict[str, Any] = {"entrypoint": entrypoint}
    if graph.exit_task is not None:
        spec["onExit"] = graph.exit_task.name
    if graph.parameters:
        defaults = stand_ins(graph, TARGET)
        spec["arguments"] = {
            "parameters": [_parameter(item, defaults) for item in graph.parameters]
        }
    dag: dict[str, Any] = {"name": entrypoint}
    if compared:
        dag["inputs"] = {"parameters": [_passed_on(name) for name in compared]}
    if graph.outputs:
        names = Names(levels)
        dag["outputs"] = {"parameters": [_output(*item, names) for item in graph.outputs]}
    dag["dag"] = dags.dag(())
    spec["templates"] = [dag, *dags.templates(), *(_template(task) for task in graph.tasks)]
    if graph.exit_task is not None:
        spec["templates"].append(_exit_template(graph.exit_task, Names(levels)))
    metadata: dict[str, Any] = {"name": graph.name}
    if graph.description:
        metadata["annotations"] = {"workflows.argoproj.io/description": graph.description}
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": metadata,
        "spec": spec,
    }
    return Manifest(document)


def _free_name(taken: set[str]) -> str:
    name = ENTRYPOINT
    while name in taken:
        name += "-main"
    return name


def _parameter(item: Parameter, defaults: Mapping[str, str]) -> dict[str, str]:
    where = Place("", f"parameter {item.name!r}", TARGET)
    written = {"name": _name(item.name, where)}
    if item.description:
        written["description"] = item.description
    default = defaults.get(item.name, item.default)
    if default is not None:
        written["value"] = _exact(default, where)
    return written


def _output(name: str, value: Value, names: Names) -> dict[str, Any]:
    where = Place("", f"output {name!r}", TARGET)
    # A workflow may not ask for what a skipped task has not written, unless it says what instead.
    taken = {"parameter": _value(value, where, names), "default": ""}
    if isinstance(value, OneOf | Gathered):
        taken = {"expression": names.source(value), "default": ""}
    return {"name": _name(name, where), "valueFrom": taken}


def _passed_on(name: str) -> dict[str, str]:
    return {"name": name, "value": f"{{{{workflow.parameters.{name}}}}}"}


def _arguments(task: Task, names: Names) -> list[dict[str, str]]:
    """Give every input its value, its default where the pipeline gives none."""
    given = dict(task.arguments)
    found = []
    for item in task.inputs:
        where = Place(task.name, f"argument {item.name!r}", TARGET)
        value = given.get(item.name, Constant(item.default or ""))
        text = _value(value, where, names)
        if isinstance(value, TaskOutputRef) and value.task in task.behind:
            default = quoted(item.default or "", where)
            text = f"{{{{= {ran(value.task)} ? {names.source(value)} : {default} }}}}"
        found.append({"name": _name(item.name, where), "value": text})
    return found


def _value(value: Value, where: Place, names: Names) -> str:
    return _literal(value.value, where) if isinstance(value, Constant) else names.tag(value)


def _literal(text: str, where: Place) -> str:
    return pod_text(_plain(text, where))


def _template(task: Task) -> dict[str, Any]:
    names = [{"name": item.name} for item in task.inputs]
    return _container_template(task, names)


def _exit_template(task: Task, names: Names) -> dict[str, Any]:
    return _container_template(task, _arguments(task, names))


def _container_template(task: Task, inputs: list[dict[str, str]]) -> dict[str, Any]:
    outputs = [
        {
            "name": _name(item.name, Place(task.name, f"output {item.name!r}", TARGET)),
            "valueFrom": {"path": _output_path(item.name)},
        }
        for item in task.outputs
    ]
    container: dict[str, Any] = {
        "image": _exact(task.image, Place(task.name, "image", TARGET)),
        "command": [_piece(piece, task.name) for piece in task.command],
        "args": [_piece(piece, task.name) for piece in task.args],
        "env": [
            {"name": name, "value": pod_text(_plain(text, Place(task.name, f"env {name}", TARGET)))}
            for name, text in task.env
        ],
        "resources": resources(task.resources),
    }
    written = {
        "name": task.name,
        "inputs": {"parameters": inputs} if inputs else None,
        "outputs": {"parameters": outputs} if outputs else None,
        "retryStrategy": _retry(task.retry) if task.retry else None,
        "activeDeadlineSeconds": task.timeout_seconds,
        "container": {key: value for key, value in container.items() if value},
    }
    return {key: value for key, value in written.items() if value is not None}


def _retry(retry: Retry) -> dict[str, Any]:
    written: dict[str, Any] = {"limit": str(retry.max_retries), "retryPolicy": "Always"}
    if not retry.backoff_seconds:
        return written
    backoff = {"duration": f"{retry.backoff_seconds:g}s", "factor": f"{retry.backoff_factor:g}"}
    limit = retry.backoff_max_seconds
    if limit is not None and limit < longest_wait(retry):
        backoff["cap"] = f"{limit:g}s"
    return {**written, "backoff": backoff}


def _piece(piece: Piece, task: str) -> str:
    where = Place(task, "command line", TARGET)
    # What stands for a reference begins with a brace, so one before it would make a third.
    _plain("".join(part if isinstance(part, str) else "{" for part in piece), where)
    return "".join(_part(part) for part in piece)


def _part(part: str | InputRef | OutputPath) -> str:
    match part:
        case InputRef(name):
            return f"{{{{inputs.parameters.{name}}}}}"
        case OutputPath(name):
            return _output_path(name)
        case _:
            return pod_text(part)


def _output_path(name: str) -> str:
    return f"/tmp/coalmine-output-{name}"  # noqa: S108 - in a pod of its own


def _plain(text: str, where: Place) -> str:
    if "{{" in text:
        raise InputError(
            f"{where}: the text {text!r} holds {{{{, which Argo would evaluate",
            fix="put a blank between the braces, or pass the text in a file",
        )
    return text


def _exact(text: str, where: Place) -> str:
    """Take a text only if it means itself wherever it ends up: on a command line or compared."""
    if pod_text(f"{text}.") != f"{text}.":
        raise InputError(
            f"{where}: {text!r} holds $$ or $(, which Kubernetes replaces",
            fix="use a value without them",
        )
    return _plain(text, where)


def _name(name: str, where: Place) -> str:
    if SIMPLE_NAME.fullmatch(name):
        return name
    raise InputError(
        f"{where}: the name is not legal", fix="use letters, digits, dashes and underscores"
    )
