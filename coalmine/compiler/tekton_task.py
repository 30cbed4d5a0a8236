"""A task of the graph as one of a Tekton Pipeline, its step written out."""

from __future__ import annotations

from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.condition import Condition
from coalmine.compiler.manifest import Place
from coalmine.compiler.piece import ArtifactPath, InputRef, OutputPath, Part, Piece
from coalmine.compiler.pod import pod_text, resources
from coalmine.compiler.podspec import env_of, leaves, mounts_of, volumes_of
from coalmine.compiler.task import Task
from coalmine.compiler.tekton_names import TARGET, check_cases, checked_name, checked_result
from coalmine.compiler.tekton_results import result_name
from coalmine.compiler.tekton_text import exact, plain
from coalmine.compiler.tekton_when import when
from coalmine.compiler.tekton_wrap import (
    WORKSPACE,
    added_params,
    fact_text,
    made_path,
    taken_path,
    uses_workspace,
    value_text,
    wrapping,
)
from coalmine.compiler.value import Constant, Imported, RunFact, references
from coalmine.compiler.wrap import wrapped

__all__ = ["task_at_the_end", "task_of"]


def task_of(
    task: Task, conditions: tuple[Condition, ...], after: list[str], absent: frozenset[str]
) -> dict[str, Any]:
    """Write a task that runs among the others.

    Args:
        task: The task.
        conditions: Its own, and those of everything it waits for.
        after: The tasks it has to be told to wait for.
        absent: Its inputs that may be left without a value.

    Raises:
        InputError: A value, a name or a wish of its pod cannot be said in Tekton.
    """
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


def task_at_the_end(
    task: Task, conditions: tuple[Condition, ...], absent: frozenset[str]
) -> dict[str, Any]:
    """Write a task that runs whatever became of those before it, as one of ``finally``.

    It cannot wait there, but ask: whatever had to succeed before it has, or it is skipped.
    """
    written = task_of(task, conditions, [], absent)
    asked = [
        {"input": f"$(tasks.{name}.status)", "operator": "in", "values": ["Succeeded"]}
        for name in sorted(task.depends_on())
    ]
    spec = written.pop("taskSpec")
    if asked:
        written["when"] = [*written.get("when", []), *asked]
    return {**written, "taskSpec": spec}


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
        exact(text, Place(task.name, "pod", TARGET))


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
        "image": exact(task.image, Place(task.name, "image", TARGET)),
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
