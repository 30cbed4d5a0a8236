"""What kfp-tekton wrote, made into what Tekton's ``v1`` takes.

kfp-tekton 1.9.3 names the run, so that a second one is refused; it keeps ``resources`` of a step,
which ``v1`` calls ``computeResources``, and some fields of a run where ``v1beta1`` had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from coalmine._base.errors import InputError

__all__ = ["modernise"]

MOVED = {"serviceAccountName": "serviceAccountName", "podTemplate": "podTemplate"}
OF_TASK = {"taskServiceAccountName": "serviceAccountName", "taskPodTemplate": "podTemplate"}
VERSION = "tekton.dev/v1"


def modernise(text: str, parameters: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Make a PipelineRun of kfp-tekton valid.

    Args:
        text: The YAML that kfp-tekton wrote.
        parameters: Values for the run; kfp-tekton leaves those without a default empty.

    Returns:
        The PipelineRun, and what its user has to know, a sentence each.

    Raises:
        InputError: A parameter is missing or unknown.
    """
    run: dict[str, Any] = yaml.safe_load(text)
    run["apiVersion"] = VERSION
    metadata = run["metadata"]
    run["metadata"] = {
        "generateName": f"{metadata.pop('name', metadata.get('generateName', 'run'))}-",
        **{key: value for key, value in metadata.items() if key != "generateName"},
    }
    spec = run["spec"]
    _move_fields(spec)
    _give_parameters(spec, parameters)
    tasks = list(_tasks(spec))
    for task in tasks:
        for step in _containers(task.get("taskSpec", {})):
            if "resources" in step:
                step["computeResources"] = step.pop("resources")
    return run, _notes(tasks)


def _move_fields(spec: dict[str, Any]) -> None:
    template = {new: spec.pop(old) for old, new in MOVED.items() if old in spec}
    if template:
        spec["taskRunTemplate"] = template
    for item in spec.get("taskRunSpecs", []):
        for old, new in OF_TASK.items():
            if old in item:
                item[new] = item.pop(old)
    limit = spec.pop("timeout", None)
    # Without it a run ends after an hour, whatever its tasks may take.
    spec.setdefault("timeouts", {"pipeline": limit or "0"})


def _give_parameters(spec: dict[str, Any], parameters: Mapping[str, str]) -> None:
    declared = spec.get("pipelineSpec", {}).get("params", [])
    known = {item["name"] for item in declared}
    given = set(parameters)
    needed = {item["name"] for item in declared if "default" not in item}
    for names, what in ((given - known, "does not take"), (needed - given, "needs")):
        if names:
            raise InputError(
                f"the pipeline {what}: {', '.join(sorted(names))}",
                field="--param",
                fix="give --param NAME=VALUE for each parameter without a default",
            )
    if parameters:
        spec["params"] = [{"name": name, "value": value} for name, value in parameters.items()]
    else:
        spec.pop("params", None)


def _tasks(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    pipeline = spec.get("pipelineSpec", {})
    for kind in ("tasks", "finally"):
        yield from pipeline.get(kind, [])


def _containers(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from task.get("steps", [])
    yield from task.get("sidecars", [])
    if "stepTemplate" in task:
        yield task["stepTemplate"]


def _notes(tasks: list[dict[str, Any]]) -> tuple[str, ...]:
    notes = []
    custom = [task["name"] for task in tasks if "apiVersion" in task.get("taskSpec", {})]
    if custom:
        notes.append(
            f"{', '.join(custom)}: custom tasks, which run only where kfp-tekton's own controllers "
            "are installed."
        )
    pasted = [task["name"] for task in tasks if task["name"].startswith("condition-")]
    if pasted:
        notes.append(
            f"{', '.join(pasted)}: kfp-tekton pastes the values that it compares into a script; "
            "a value with a quote can change what it does."
        )
    return tuple(notes)
