"""From a task to a command line of this installation."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.piece import ArtifactPath, ExecutorText, InputRef, OutputPath, Part
from coalmine.compiler.task import Task
from coalmine.compiler.value import RunFact
from coalmine.engines.local.functions import function_command, is_function

__all__ = ["OWN_IMAGE", "HostCommand", "Places", "check_images", "command_line", "own_command"]

OWN_IMAGE = "ghcr.io/coalmine-dev/coalmine"
"""The image whose content is this package; any tag or digest of it."""

HostCommand = Callable[[str, Sequence[str]], list[str]]
"""From an image and a command inside it to a command on this machine; else an InputError."""


def own_command(image: str, argv: Sequence[str]) -> list[str]:
    """Run a command of our own image, or a Python function component, with this Python.

    Raises:
        InputError: It is another image, or another command in ours.
    """
    if is_function(argv):
        return function_command(argv)
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


@dataclass(frozen=True, slots=True)
class Places:
    """What goes into the places of a command line.

    Attributes:
        inputs: The inputs' values.
        outputs: The paths to write outputs to.
        taken: The paths of input artifacts.
        made: The paths of output artifacts.
        executor: KFP's executor input, and the path of its output.
        fact: What the run knows of itself.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    taken: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    executor: Mapping[str, str] = field(default_factory=dict)
    fact: Callable[[RunFact], str] = str

    def text(self, part: Part) -> str:
        """Fill one place."""
        match part:
            case InputRef(name):
                return self.inputs[name]
            case OutputPath(name):
                return self.outputs[name]
            case ArtifactPath(name, made):
                return (self.made if made else self.taken)[name]
            case RunFact():
                return self.fact(part)
            case ExecutorText():
                return self.executor[part]
            case _:
                return part


def command_line(task: Task, places: Places) -> list[str]:
    """Fill a task's command and arguments with its inputs and its output paths."""
    pieces = (*task.command, *task.args)
    return ["".join(places.text(part) for part in piece) for piece in pieces]


def check_images(graph: Graph, host_command: HostCommand) -> None:
    """See that every task can run here, before any does.

    Raises:
        InputError: One cannot; the message names it.
    """
    for task in (*graph.tasks, *((graph.exit_task,) if graph.exit_task else ())):
        if problem := task.pod.needs_cluster:
            raise InputError(
                f"the local engine has no {problem}",
                field=f"task {task.name}",
                fix="run this pipeline on kfp, tekton or argo",
            )
        blank = defaultdict[str, str](str)
        places = Places(blank, blank, blank, blank, blank)
        try:
            host_command(task.image, command_line(task, places))
        except InputError as error:
            raise InputError(error.message, fix=error.fix, field=f"task {task.name}") from None
