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
from coalmine.compiler.condition import Condition
from coalmine.compiler.graph import Graph
from coalmine.compiler.guards import Guarded, with_guards
from coalmine.compiler.loops import expand_constants
from coalmine.compiler.manifest import Manifest, Place
from coalmine.compiler.order import ancestors, inherited_conditions, waits_for
from coalmine.compiler.pages import note_pages, without_pages
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import ArtifactPath, InputRef, OutputPath, Part, Piece
from coalmine.compiler.pod import note_given, pod_text, resources, stand_ins, to_be_given
from coalmine.compiler.podspec import env_of, leaves, mounts_of, volumes_of
from coalmine.compiler.task import Task
from coalmine.compiler.tekton_names import check_cases, checked_name, checked_result
from coalmine.compiler.tekton_results import result_name
from coalmine.compiler.tekton_when import asks_too_much, plain, says_whole_numbers, when
from coalmine.compiler.tekton_wrap import (
    WORKSPACE,
    added_params,
    fact_text,
    has_workspace,
    made_path,
    taken_path,
    uses_workspace,
    value_text,
    wrapping,
)
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Imported,
    OneOf,
    RunFact,
    TaskOutputRef,
    Value,
    references,
)
from coalmine.compiler.wrap import left_out, note, wrapped

__all__ = ["lower"]

TARGET = "tekton"
DEFAULT_RUN_TIMEOUT = 3600
LONGEST_NAME = 63


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
    graph = split_choices(_without_loops(graph))
    _check_ends(graph)
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
        _task(task, conditions[task.name], waits_for(task, above), left_out(task, graph))
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
        _task_at_the_end(task, conditions[task.name], left_out(task, graph)) for task in last
    ]
    if graph.exit_task is not None:
        absent = left_out(graph.exit_task, graph)
        spec["finally"].append(_task(graph.exit_task, (), [], absent))
    document = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": graph.name},
        "spec": {key: value for key, value in spec.items() if value},
    }
    return Manifest(
        document, (*_notes_of_guards(guarded), *_notes(graph), *note_given(required), *told)
    )


def _parameter(item: Parameter, defaults: Mapping[str, str]) -> dict[str, str]:
    where = Place("", f"parameter {item.name!r}", TARGET)
    written = {"name": checked_name(item.name, where), "type": "string"}
    if item.description:
        written["description"] = item.description
    default = defaults.get(item.name, item.default)
    if default is not None:
        written["default"] = _exact(default, where)
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


def _task(
    task: Task, conditions: tuple[Condition, ...], after: list[str], absent: frozenset[str]
) -> dict[str, Any]:
    arguments = {**_arguments(task), **added_params(task)}
    check_cases(arguments, task.name)
    artifacts = {item.name for item in task.taken}
    # Only a reference to a result makes an order; an artifact is no result.
    values = [value for name, value in task.arguments if name not in artifacts]
    values += [value for _, value in task.arguments if isinstance(value, Imported)]
    values += [side for item in conditions for side in (item.left, item.right)]
    used = {found.task for value in values for found in references(value)}
    after = [*after, *sorted(task.follows() - task.depends_on() - set(task.behind))]
    written: dict[str, Any] = {"name": task.name}
    written["displayName"] = plain(task.title, Place(task.name, "display name", TARGET))
    written["params"] = [{"name": name, "value": value} for name, value in arguments.items()]
    written["when"] = [when(item, task.name) for item in conditions]
    written["runAfter"] = [name for name in after if name not in used]
    written["retries"] = task.retry.max_retries if task.retry else 0
    written["timeout"] = f"{task.timeout_seconds}s" if task.timeout_seconds else ""
    if uses_workspace(task):
        written["workspaces"] = [{"name": WORKSPACE, "workspace": WORKSPACE}]
    written["taskSpec"] = _task_spec(task, arguments, absent)
    return {key: value for key, value in written.items() if value}


def _task_at_the_end(
    task: Task, conditions: tuple[Condition, ...], absent: frozenset[str]
) -> dict[str, Any]:
    """Write a task that runs whatever became of those before it, as one of ``finally``.

    It cannot wait there, but ask: whatever had to succeed before it has, or it is skipped.
    """
    written = _task(task, conditions, [], absent)
    asked = [
        {"input": f"$(tasks.{name}.status)", "operator": "in", "values": ["Succeeded"]}
        for name in sorted(task.depends_on())
    ]
    spec = written.pop("taskSpec")
    if asked:
        written["when"] = [*written.get("when", []), *asked]
    return {**written, "taskSpec": spec}


def _check_ends(graph: Graph) -> None:
    """See that what runs behind a failure is waited for by nobody, and takes nothing from it."""
    for task in (*graph.tasks, *([graph.exit_task] if graph.exit_task else [])):
        if any(isinstance(value, FinalStatus) for _, value in task.arguments):
            raise InputError(
                f"{Place(task.name, 'dsl.PipelineTaskFinalStatus', TARGET)}: Tekton tells the "
                "state of all tasks in words of its own, and nothing of a part",
                fix="do without it, or compile for argo or kfp",
            )
    last = {task.name for task in graph.tasks if task.behind}
    for task in graph.tasks:
        used = {found.task for value in task.values() for found in references(value)}
        problem = ""
        if unsure := sorted(used & set(task.behind)):
            problem = f"it takes a value of {unsure[0]}, which may have failed"
        elif waited := sorted(task.follows() & last):
            problem = f"it waits for {waited[0]}, which runs although a task before it failed"
        if problem:
            raise InputError(
                f"{Place(task.name, 'ignore_upstream_failure', TARGET)}: {problem}; Tekton starts "
                "nothing behind a failed task but the tasks at the very end",
                fix="leave it without consequences, or compile for argo or kfp",
            )


def _without_loops(graph: Graph) -> Graph:
    graph = expand_constants(graph)
    for loop in graph.loops:
        # Tekton's matrix goes over parameters and results of type array only. Those of a pipeline
        # are strings that hold JSON, on every engine, for whoever submits it.
        raise InputError(
            f"{Place(loop.name, 'items', TARGET)}: the list of this loop is known only in a run, "
            "where it is a string of JSON, and Tekton's matrix makes tasks of arrays only",
            fix="loop over a list in the pipeline's source, let one task do the work for all "
            "items, or compile for argo or kfp",
        )
    if not graph.tasks:
        raise InputError(
            f"{Place('', 'tasks', TARGET)}: its loops go over no items, so no task is left",
            fix="give the loops items, or compile for argo or kfp",
        )
    for task in graph.tasks:
        if len(task.name) > LONGEST_NAME:
            raise InputError(
                f"{Place(task.name, 'name', TARGET)}: with its turn the name is too long",
                fix=f"keep the names of components and turns within {LONGEST_NAME} characters",
            )
    return graph


def _arguments(task: Task) -> dict[str, str]:
    """Give every input its value, its default where the pipeline gives none."""
    given = dict(task.arguments)
    found: dict[str, str] = {}
    for item in task.inputs:
        where = Place(task.name, f"argument {item.name!r}", TARGET)
        value = given.get(item.name, Constant(item.default or ""))
        found[checked_name(item.name, where)] = value_text(value, where)
    return found


def _check_pod(task: Task) -> None:
    """See that nothing is said that only a run can say on Tekton."""
    said = {
        "node selector": task.pod.node_selector,
        "tolerations": task.pod.tolerations,
        "image pull secrets": task.pod.pull_secrets,
    }
    for what, value in said.items():
        if value:
            raise InputError(
                f"{Place(task.name, what, TARGET)}: a Tekton pipeline cannot say it of a task",
                fix="say it in the run's podTemplate or ServiceAccount, or compile for argo or kfp",
            )
    for text in leaves(task.pod):
        _exact(text, Place(task.name, "pod", TARGET))


def _task_spec(task: Task, arguments: dict[str, str], absent: frozenset[str]) -> dict[str, Any]:
    _check_pod(task)
    results = [
        {
            "name": checked_result(
                result_name(item.name), Place(task.name, f"output {item.name!r}", TARGET)
            )
        }
        for item in task.outputs
    ]
    step: dict[str, Any] = {
        "name": "main",
        "image": _exact(task.image, Place(task.name, "image", TARGET)),
    }
    if task.takes_executor_input:
        step["command"], step["args"] = wrapped(task, wrapping(task, absent))
    else:
        step["command"] = [_piece(piece, task) for piece in task.command]
        step["args"] = [_piece(piece, task) for piece in task.args]
    step["env"] = [
        {"name": name, "value": pod_text(plain(text, Place(task.name, f"env {name!r}", TARGET)))}
        for name, text in task.env
    ] + env_of(task.pod)
    step["volumeMounts"] = mounts_of(task.pod)
    step["imagePullPolicy"] = task.pod.pull_policy
    step["securityContext"] = dict(task.pod.security)
    step["computeResources"] = resources(task.resources)
    metadata = {"labels": dict(task.pod.labels), "annotations": dict(task.pod.annotations)}
    spec: dict[str, Any] = {
        "metadata": {key: value for key, value in metadata.items() if value},
        "params": [{"name": name, "type": "string"} for name in arguments],
        "results": [{**result, "type": "string"} for result in results],
        "workspaces": [{"name": WORKSPACE}] if uses_workspace(task) else [],
        "volumes": volumes_of(task.pod),
        "steps": [{key: value for key, value in step.items() if value}],
    }
    return {key: value for key, value in spec.items() if value}


def _piece(piece: Piece, task: Task) -> str:
    where = Place(task.name, "command line", TARGET)
    # A value may end in a dollar sign; with the text behind it that must make no variable.
    plain("".join(part if type(part) is str else "$" for part in piece), where)
    return "".join(_part(part, task) for part in piece)


def _part(part: Part, task: Task) -> str:
    match part:
        case RunFact():
            return fact_text(part)
        case ArtifactPath(name, made):
            return made_path(name, task) if made else taken_path(name, task)
        case InputRef(name):
            return f"$(params.{name})"
        case OutputPath(name):
            return f"$(results.{result_name(name)}.path)"
        case _:
            return pod_text(part)


def _exact(text: str, where: Place) -> str:
    """Take a text only if it means itself wherever it ends up: on a command line or compared."""
    if "$$" in text or "$(" in text:
        raise InputError(
            f"{where}: {text!r} holds $$ or $(, which Tekton and Kubernetes replace",
            fix="use a value without them",
        )
    return text


def _notes_of_guards(guarded: Guarded) -> list[str]:
    if not guarded.guards:
        return []
    names = ", ".join(guarded.guards)
    how = f"with python3 in {guarded.image} (--guard-image names another image)"
    return [f"Tekton cannot compare numbers; tasks of their own do, {how}: {names}."]


def _notes(graph: Graph) -> tuple[str, ...]:
    tasks = (*graph.tasks, *([graph.exit_task] if graph.exit_task else []))
    notes = []
    last = sorted(task.name for task in graph.tasks if task.behind)
    if last:
        notes.append(
            "What runs behind a failed task can only run at the very end on Tekton, after all "
            f"other tasks: {', '.join(last)}."
        )
    waiting = [task.name for task in tasks if task.retry and task.retry.backoff_seconds]
    if waiting:
        notes.append(
            f"Tekton retries at once; the wait between tries is left out for {', '.join(waiting)}."
        )
    if says_whole_numbers(graph):
        notes.append(
            "Tekton compares whole numbers as text: 5 is equal to 5, but not to 05 or +5. Outputs "
            "and parameters that a condition reads have to be written plainly."
        )
    notes += note(tasks)
    if has_workspace(graph):
        notes.append(
            f"The artifacts of a run are files in the workspace {WORKSPACE!r}, each named by its "
            "run, its task and its output: give the run a volume for it."
        )
    if sum(task.timeout_seconds or 0 for task in graph.tasks) >= DEFAULT_RUN_TIMEOUT:
        notes.append(
            "A PipelineRun ends after one hour unless it says more: set spec.timeouts.pipeline "
            'to "0" or to what the tasks may take together.'
        )
    return tuple(notes)
