"""Argo's side of KFP's executor protocol: own artifacts, their descriptions as parameters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from coalmine.compiler.argo_artifacts import about_name, about_tag, artifact_source, is_described
from coalmine.compiler.argo_value import Names
from coalmine.compiler.task import Task
from coalmine.compiler.value import Imported, OneOf, RunFact, TaskOutputRef
from coalmine.compiler.wrap import Wrapping, about_imported, facts_in

__all__ = [
    "FACTS",
    "about_parameters",
    "artifact_arguments",
    "made_artifacts",
    "made_path",
    "output_path",
    "parameter_names",
    "taken_artifacts",
    "taken_path",
    "uri_name",
    "wrapping",
]

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


def parameter_names(task: Task, described: Collection[str]) -> list[str]:
    """Name the parameters that a task's template takes."""
    uris = [uri_name(name) for name, value in task.arguments if isinstance(value, Imported)]
    about = [about_name(name) for name in _told(task, described)]
    return [*(item.name for item in task.inputs), *uris, *about]


def artifact_arguments(task: Task, names: Names) -> list[dict[str, Any]]:
    """Say which artifacts of other tasks a task is given."""
    given = _of_tasks(task).items()
    return [{"name": name, **artifact_source(value, names)} for name, value in given]


def about_parameters(task: Task, names: Names, described: Collection[str]) -> list[dict[str, str]]:
    """Say what is known of them, by those of the tasks that tell."""
    told = _told(task, described)
    return [{"name": about_name(name), "value": about_tag(told[name], names)} for name in told]


def _told(task: Task, described: Collection[str]) -> dict[str, TaskOutputRef | OneOf]:
    if not task.takes_executor_input:
        return {}
    given = _of_tasks(task).items()
    return {name: value for name, value in given if is_described(value, described)}


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
            "name": about_name(item.name),
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
        name: f"{{{{inputs.parameters.{about_name(name)}}}}}" for name in _told(task, described)
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
