"""The template of one task on Argo: its container, its pod, its tries."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

from coalmine.compiler.argo_text import TARGET, exact, legal_name, piece_text, plain
from coalmine.compiler.argo_wrap import made_artifacts, output_path, taken_artifacts
from coalmine.compiler.manifest import Place
from coalmine.compiler.pod import longest_wait, pod_text, resources
from coalmine.compiler.podspec import env_of, leaves, mounts_of, toleration, volumes_of
from coalmine.compiler.task import Retry, Task
from coalmine.compiler.wrap import Wrapping, wrapped

__all__ = ["container_template", "note_rounded", "said"]


def container_template(task: Task, inputs: list[dict[str, str]], wrap: Wrapping) -> dict[str, Any]:
    """Write the template that runs a task.

    Raises:
        InputError: A text or a name cannot be said in Argo.
    """
    artifacts, about = made_artifacts(task)
    outputs: list[dict[str, Any]] = [
        {
            "name": legal_name(item.name, Place(task.name, f"output {item.name!r}", TARGET)),
            "valueFrom": {"path": output_path(item.name)},
        }
        for item in task.outputs
    ]
    if task.takes_executor_input:
        command, args = wrapped(task, wrap)
    else:
        command = [piece_text(piece, task) for piece in task.command]
        args = [piece_text(piece, task) for piece in task.args]
    container: dict[str, Any] = {
        "image": exact(task.image, Place(task.name, "image", TARGET)),
        "command": command,
        "args": args,
        "env": [
            {"name": name, "value": pod_text(plain(text, Place(task.name, f"env {name}", TARGET)))}
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
        "inputs": said({"parameters": inputs, "artifacts": taken_artifacts(task)}),
        "outputs": said({"parameters": [*outputs, *about], "artifacts": artifacts}),
        "retryStrategy": _retry(task.retry) if task.retry else None,
        "activeDeadlineSeconds": task.timeout_seconds,
        **_pod(task),
        "container": {key: value for key, value in container.items() if value},
    }
    return {key: value for key, value in written.items() if value is not None}


def _title(task: Task) -> dict[str, str] | None:
    where = Place(task.name, "display name", TARGET)
    shown = {"workflows.argoproj.io/display-name": plain(task.title, where)}
    return shown if task.title else None


def _pod(task: Task) -> dict[str, Any]:
    pod = task.pod
    for text in leaves(pod):
        exact(text, Place(task.name, "pod", TARGET))
    metadata = {"labels": dict(pod.labels), "annotations": dict(pod.annotations)}
    written: dict[str, Any] = {
        "metadata": {key: value for key, value in metadata.items() if value},
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [toleration(item) for item in pod.tolerations],
        "volumes": volumes_of(pod),
    }
    return {key: value for key, value in written.items() if value}


def said(kinds: dict[str, list[Any]]) -> dict[str, list[Any]] | None:
    """Leave out the kinds of which there is nothing."""
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


def note_rounded(tasks: Iterable[Task]) -> list[str]:
    """Tell where a wait between tries grows by more than was asked for."""
    found = [
        task.name
        for task in tasks
        if task.retry
        and task.retry.backoff_seconds
        and _factor(task.retry) != task.retry.backoff_factor
    ]
    if not found:
        return []
    why = "Argo multiplies the wait between tries by whole numbers only; the factor is rounded up"
    return [f"{why} for {', '.join(found)}."]
