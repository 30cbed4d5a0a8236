"""The graph as an Argo WorkflowTemplate.

What Argo does that shapes this (measured on Argo 3.7): a bare ``when`` fails on quotes, blanks
and empty values and a quoted one can be injected, so conditions are expressions. ``depends: a``
would be true for a skipped ``a`` too, so each dependency says ``.Succeeded``. ``{{`` in a value is
evaluated again, so literals with it are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import ceil
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.argo_artifacts import LoopArtifacts, artifact_source
from coalmine.compiler.argo_dag import Dags
from coalmine.compiler.argo_status import final_status
from coalmine.compiler.argo_value import Names, ran
from coalmine.compiler.argo_when import quoted
from coalmine.compiler.argo_wrap import (
    FACTS,
    about_parameters,
    artifact_arguments,
    made_artifacts,
    made_path,
    output_path,
    parameter_names,
    taken_artifacts,
    taken_path,
    uri_name,
    wrapping,
)
from coalmine.compiler.graph import Graph
from coalmine.compiler.levels import Levels
from coalmine.compiler.manifest import Manifest, Place
from coalmine.compiler.pages import note_pages, without_pages
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import ArtifactPath, InputRef, OutputPath, Part, Piece
from coalmine.compiler.pod import (
    SIMPLE_NAME,
    longest_wait,
    note_given,
    pod_text,
    resources,
    stand_ins,
    to_be_given,
)
from coalmine.compiler.podspec import env_of, leaves, mounts_of, toleration, volumes_of
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Gathered,
    Imported,
    Joined,
    OneOf,
    RunFact,
    TaskOutputRef,
    Value,
    references,
)
from coalmine.compiler.wrap import Wrapping, left_out, note, wrapped

__all__ = ["lower"]

TARGET = "argo"
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
        return _said(given) or {}

    dags = Dags(levels, arguments, _exact, LoopArtifacts(levels, described))
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
        spec["templates"].append(_container_template(task, inputs, wrap))
    if graph.exit_task is not None:
        exit_task = graph.exit_task
        wrap = wrapping(exit_task, left_out(exit_task, graph), described)
        given = _arguments(exit_task, Names(levels), described)
        spec["templates"].append(_container_template(exit_task, given, wrap))
    document = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": _metadata(graph),
        "spec": spec,
    }
    return Manifest(document, (*note(tasks), *_rounded(tasks), *note_given(required), *told))


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
    written = {"name": _name(item.name, where)}
    if item.description:
        written["description"] = item.description
    default = defaults.get(item.name, item.default)
    if default is not None:
        written["value"] = _exact(default, where)
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
    taken = {"parameter": _value(value, where, names), "default": ""}
    if isinstance(value, OneOf | Gathered):
        taken = {"expression": names.source(value), "default": ""}
    return {"name": _name(name, where), "valueFrom": taken}


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
        text = _value(value, where, names)
        _check_certain(value, task, where)
        if isinstance(value, TaskOutputRef) and value.task in task.behind:
            default = quoted(item.default or "", where)
            text = f"{{{{= {ran(value.task)} ? {names.source(value)} : {default} }}}}"
        found.append({"name": _name(item.name, where), "value": text})
    for name, value in task.arguments:
        if isinstance(value, Imported):
            where = Place(task.name, f"argument {name!r}", TARGET)
            found.append({"name": uri_name(name), "value": _value(value, where, names)})
    return [*found, *about_parameters(task, names, described)]


def _check_certain(value: Value, task: Task, where: Place) -> None:
    """See that nothing is made of what may have failed, where no default can take its place."""
    unsure = sorted({one.task for one in references(value)}.intersection(task.behind))
    if unsure and not isinstance(value, TaskOutputRef):
        raise InputError(
            f"{where}: it is made of a value of {unsure[0]}, which may have failed",
            fix="give the value to an input of its own, or compile for kfp",
        )


def _value(value: Value, where: Place, names: Names) -> str:
    match value:
        case Constant(text):
            return _literal(text, where)
        case RunFact.TASK_ID:
            raise InputError(
                f"{where}: {value.value} is known only within the task",
                fix="ask for it in the component's own command, or compile for kfp",
            )
        case RunFact():
            return FACTS[value]
        case Joined(parts):
            # What stands for a reference begins with a brace: one before it would make a third.
            shown = (one.value if isinstance(one, Constant) else "{x}" for one in parts)
            _plain("".join(shown), where)
            return "".join(_value(part, where, names) for part in parts)
        case Imported():
            return _value(value.uri, where, names)
        case _:
            return names.tag(value)


def _literal(text: str, where: Place) -> str:
    return pod_text(_plain(text, where))


def _container_template(task: Task, inputs: list[dict[str, str]], wrap: Wrapping) -> dict[str, Any]:
    artifacts, about = made_artifacts(task)
    outputs: list[dict[str, Any]] = [
        {
            "name": _name(item.name, Place(task.name, f"output {item.name!r}", TARGET)),
            "valueFrom": {"path": output_path(item.name)},
        }
        for item in task.outputs
    ]
    if task.takes_executor_input:
        command, args = wrapped(task, wrap)
    else:
        command = [_piece(piece, task) for piece in task.command]
        args = [_piece(piece, task) for piece in task.args]
    container: dict[str, Any] = {
        "image": _exact(task.image, Place(task.name, "image", TARGET)),
        "command": command,
        "args": args,
        "env": [
            {"name": name, "value": pod_text(_plain(text, Place(task.name, f"env {name}", TARGET)))}
            for name, text in task.env
        ]
        + env_of(task.pod),
        "volumeMounts": mounts_of(task.pod),
        "imagePullPolicy": task.pod.pull_policy,
        "securityContext": dict(task.pod.security),
        "resources": resources(task.resources),
    }
    written = {
        "name": task.name,
        "annotations": _title(task),
        "inputs": _said({"parameters": inputs, "artifacts": taken_artifacts(task)}),
        "outputs": _said({"parameters": [*outputs, *about], "artifacts": artifacts}),
        "retryStrategy": _retry(task.retry) if task.retry else None,
        "activeDeadlineSeconds": task.timeout_seconds,
        **_pod(task),
        "container": {key: value for key, value in container.items() if value},
    }
    return {key: value for key, value in written.items() if value is not None}


def _title(task: Task) -> dict[str, str] | None:
    where = Place(task.name, "display name", TARGET)
    shown = {"workflows.argoproj.io/display-name": _plain(task.title, where)}
    return shown if task.title else None


def _pod(task: Task) -> dict[str, Any]:
    pod = task.pod
    for text in leaves(pod):
        _exact(text, Place(task.name, "pod", TARGET))
    metadata = {"labels": dict(pod.labels), "annotations": dict(pod.annotations)}
    written: dict[str, Any] = {
        "metadata": {key: value for key, value in metadata.items() if value},
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [toleration(item) for item in pod.tolerations],
        "volumes": volumes_of(pod),
    }
    return {key: value for key, value in written.items() if value}


def _said(kinds: dict[str, list[Any]]) -> dict[str, list[Any]] | None:
    return {kind: items for kind, items in kinds.items() if items} or None


def _retry(retry: Retry) -> dict[str, Any]:
    written: dict[str, Any] = {"limit": str(retry.max_retries), "retryPolicy": "Always"}
    if not retry.backoff_seconds:
        return written
    backoff = {"duration": f"{retry.backoff_seconds:g}s", "factor": str(_factor(retry))}
    limit = retry.backoff_max_seconds
    if limit is not None and limit < longest_wait(retry):
        backoff["cap"] = f"{limit:g}s"
    return {**written, "backoff": backoff}


def _factor(retry: Retry) -> int:
    """Give the factor as Argo takes it: a retry with another number ends in an error there."""
    return ceil(retry.backoff_factor)


def _rounded(tasks: Iterable[Task]) -> list[str]:
    found = [
        task.name
        for task in tasks
        if task.retry
        and task.retry.backoff_seconds
        and _factor(task.retry) != task.retry.backoff_factor
    ]
    if not found:
        return []
    said = "Argo multiplies the wait between tries by whole numbers only; the factor is rounded up"
    return [f"{said} for {', '.join(found)}."]


def _piece(piece: Piece, task: Task) -> str:
    where = Place(task.name, "command line", TARGET)
    # What stands for a reference begins with a brace, so one before it would make a third.
    _plain("".join(part if type(part) is str else "{x}" for part in piece), where)
    return "".join(_part(part, task) for part in piece)


def _part(part: Part, task: Task) -> str:
    match part:
        case RunFact():
            return FACTS[part]
        case ArtifactPath(name, made):
            return made_path(name) if made else taken_path(name, task)
        case InputRef(name):
            return f"{{{{inputs.parameters.{name}}}}}"
        case OutputPath(name):
            return output_path(name)
        case _:
            return pod_text(part)


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
