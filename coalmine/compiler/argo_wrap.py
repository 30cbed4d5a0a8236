"""Argo's side of KFP's executor protocol: own artifacts, their descriptions as parameters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.argo_value import ran
from coalmine.compiler.graph import (
    Graph,
    Imported,
    OneOf,
    RunFact,
    Task,
    TaskOutputRef,
    Value,
    references,
)
from coalmine.compiler.manifest import Place
from coalmine.compiler.wrap import Wrapping, about_imported, facts_in

__all__ = [
    "FACTS",
    "about_parameters",
    "artifact_arguments",
    "artifact_source",
    "check_levels",
    "made_artifacts",
    "made_path",
    "output_path",
    "parameter_names",
    "taken_artifacts",
    "taken_path",
    "uri_name",
    "wrapping",
]

TARGET = "argo"
FACTS = {
    RunFact.JOB_NAME: "{{workflow.name}}",
    RunFact.JOB_RESOURCE_NAME: "{{workflow.name}}",
    RunFact.JOB_ID: "{{workflow.uid}}",
    RunFact.TASK_ID: "{{pod.name}}",
}
OUTPUT_BYTES = 250_000
"""Argo keeps 256 KiB of an output."""
FOLDER = "/tmp/coalmine"  # noqa: S108 - in a pod of its own


def output_path(name: str) -> str:
    """Give the path of an output parameter."""
    return f"{FOLDER}-output-{name}"


def made_path(name: str) -> str:
    """Give the path of an output artifact."""
    return f"{FOLDER}-made-{name}"


def taken_path(name: str, task: Task) -> str:
    """Give the path of an input artifact, or where it is if it comes from outside."""
    if isinstance(dict(task.arguments)[name], Imported):
        return f"{{{{inputs.parameters.{uri_name(name)}}}}}"
    return f"{FOLDER}-taken-{name}"


def uri_name(name: str) -> str:
    """Name the parameter that says where an artifact from outside is; no input has a dash."""
    return f"{name}-uri"


def _about_name(name: str) -> str:
    return f"{name}-about"


def parameter_names(task: Task, described: Collection[str]) -> list[str]:
    """Name the parameters that a task's template takes."""
    uris = [uri_name(name) for name, value in task.arguments if isinstance(value, Imported)]
    about = [item["name"] for item in about_parameters(task, described)]
    return [*(item.name for item in task.inputs), *uris, *about]


def check_levels(graph: Graph) -> None:
    """See that no artifact goes into a loop or out of one.

    Raises:
        InputError: One does; names the task.
    """
    homes = {task.name: task.loops for task in graph.tasks}
    for task in graph.tasks:
        for name, value in task.arguments:
            crosses = any(homes[found.task] != task.loops for found in references(value))
            if crosses and any(item.name == name for item in task.taken):
                raise InputError(
                    f"{Place(task.name, f'artifact {name!r}', TARGET)}: it comes from outside of "
                    "the loop that the task stands in",
                    fix="hand on where it is as a parameter, or compile for tekton or kfp",
                )


def artifact_arguments(task: Task) -> list[dict[str, str]]:
    """Say which artifacts of other tasks a task is given."""
    return [{"name": name, **artifact_source(value)} for name, value in _of_tasks(task).items()]


def artifact_source(value: TaskOutputRef | OneOf) -> dict[str, str]:
    """Say where an artifact comes from: from one task, or from the one of several that ran."""
    if isinstance(value, TaskOutputRef):
        return {"from": f"{{{{tasks.{value.task}.outputs.artifacts.{value.output}}}}}"}
    return {"fromExpression": _chosen(value, "artifacts", "")}


def _chosen(value: OneOf, kind: str, suffix: str) -> str:
    found = [
        (one.task, f"tasks['{one.task}'].outputs.{kind}['{one.output}{suffix}']")
        for one in value.choices
    ]
    asked = "".join(f"{ran(task)} ? {source} : " for task, source in found[:-1])
    return f"{asked}{found[-1][1]}"


def about_parameters(task: Task, described: Collection[str]) -> list[dict[str, str]]:
    """Say what is known of them, by those of the tasks that tell."""
    if not task.takes_executor_input:
        return []
    return [
        {
            "name": _about_name(name),
            "value": f"{{{{= {_chosen(value, 'parameters', _about_name(''))} }}}}"
            if isinstance(value, OneOf)
            else f"{{{{tasks.{value.task}.outputs.parameters.{_about_name(value.output)}}}}}",
        }
        for name, value in _of_tasks(task).items()
        if _is_described(value, described)
    ]


def _is_described(value: Value, described: Collection[str]) -> bool:
    return all(found.task in described for found in references(value))


def taken_artifacts(task: Task) -> list[dict[str, Any]]:
    """Write a template's input artifacts."""
    # As in KFP, a component may leave an artifact without a file.
    return [
        {"name": name, "path": taken_path(name, task), "optional": True} for name in _of_tasks(task)
    ]


def made_artifacts(task: Task) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write a template's output artifacts, and the parameters that describe them."""
    artifacts = [
        {"name": item.name, "path": made_path(item.name), "optional": True} for item in task.made
    ]
    about = [
        {
            "name": _about_name(item.name),
            "valueFrom": {"path": f"{made_path(item.name)}.json", "default": ""},
        }
        for item in task.made
        if task.takes_executor_input
    ]
    return artifacts, about


def wrapping(task: Task, optional: frozenset[str], described: Collection[str]) -> Wrapping:
    """Say what a component with an executor input gets from where."""
    made = {item.name: made_path(item.name) for item in task.made}
    about = {
        name: f"{{{{inputs.parameters.{_about_name(name)}}}}}"
        for name, value in _of_tasks(task).items()
        if _is_described(value, described)
    }
    imported = {
        name: about_imported(value) for name, value in task.arguments if isinstance(value, Imported)
    }
    return Wrapping(
        inputs={item.name: f"{{{{inputs.parameters.{item.name}}}}}" for item in task.inputs},
        results={item.name: output_path(item.name) for item in task.outputs},
        taken={item.name: taken_path(item.name, task) for item in task.taken},
        about={**about, **imported},
        made=made,
        keep={name: f"{path}.json" for name, path in made.items()},
        facts={fact: FACTS[fact] for fact in sorted(facts_in(task))},
        optional=optional,
        is_safe=lambda text: "{{" not in text,
        limit=OUTPUT_BYTES,
        # Argo takes one final newline off.
        final="\n",
    )


def _of_tasks(task: Task) -> dict[str, TaskOutputRef | OneOf]:
    given = dict(task.arguments)
    found = {item.name: given[item.name] for item in task.taken}
    return {
        name: value for name, value in found.items() if isinstance(value, TaskOutputRef | OneOf)
    }
