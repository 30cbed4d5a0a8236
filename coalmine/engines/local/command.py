"""From a task to a command line of this installation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph, InputRef, OutputPath, Piece, Task

__all__ = ["OWN_IMAGE", "HostCommand", "check_images", "command_line", "own_command"]

OWN_IMAGE = "ghcr.io/coalmine-dev/coalmine"
"""The image whose content is this package; any tag or digest of it."""

HostCommand = Callable[[str, Sequence[str]], list[str]]
"""From an image and a command inside it to a command on this machine; else an InputError."""


def own_command(image: str, argv: Sequence[str]) -> list[str]:
    """Run a command of our own image with this Python.

    Raises:
        InputError: It is another image, or another command in ours.
    """
    repository = image.partition("@")[0]
    head, colon, tag = repository.rpartition(":")
    if colon and "/" not in tag:
        repository = head
    if repository != OWN_IMAGE or list(argv[:1]) != ["coalmine"]:
        raise InputError(
            f"the local engine runs the command coalmine in {OWN_IMAGE} and nothing else, "
            f"not {' '.join(argv[:1]) or 'the entrypoint'} in {image}",
            fix="run this pipeline on an engine with containers: kfp, tekton or argo",
        )
    return [sys.executable, "-m", "coalmine", *argv[1:]]


def command_line(
    task: Task, arguments: Mapping[str, str], outputs: Mapping[str, Path]
) -> list[str]:
    """Fill a task's command and arguments with its inputs and its output paths."""
    return [_fill(piece, arguments, outputs) for piece in (*task.command, *task.args)]


def _fill(piece: Piece, arguments: Mapping[str, str], outputs: Mapping[str, Path]) -> str:
    parts = []
    for part in piece:
        if isinstance(part, InputRef):
            parts.append(arguments[part.name])
        elif isinstance(part, OutputPath):
            parts.append(str(outputs[part.name]))
        else:
            parts.append(part)
    return "".join(parts)


def check_images(graph: Graph, host_command: HostCommand) -> None:
    """See that every task can run here, before any does.

    Raises:
        InputError: One cannot; the message names it.
    """
    for task in (*graph.tasks, *((graph.exit_task,) if graph.exit_task else ())):
        blank = {parameter.name: "" for parameter in task.inputs}
        paths = {parameter.name: Path() for parameter in task.outputs}
        try:
            host_command(task.image, command_line(task, blank, paths))
        except InputError as error:
            raise InputError(error.message, fix=error.fix, field=f"task {task.name}") from None
