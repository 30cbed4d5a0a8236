"""What a task runs: its component's executor, and what the platform document adds to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine._base.errors import InputError
from coalmine.compiler.ir.models import (
    Component,
    Container,
    Executor,
    GivenResources,
    Importer,
    TaskSpec,
)
from coalmine.compiler.ir.placeholders import has_placeholder, parse_piece
from coalmine.compiler.ir.platform import ExecutorPlatform, read_platform
from coalmine.compiler.ir.refuse import check, unsupported
from coalmine.compiler.ir.structures import Structures, uncertain_input
from coalmine.compiler.ir.values import seconds
from coalmine.compiler.piece import InputRef, Piece
from coalmine.compiler.podspec import Pod
from coalmine.compiler.task import Resources, Retry

__all__ = ["Executors", "Running", "read_retry"]

GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class Running:
    """How one container runs; the fields are those of ``Task``."""

    image: str
    command: tuple[Piece, ...]
    args: tuple[Piece, ...]
    env: tuple[tuple[str, str], ...]
    resources: Resources
    timeout_seconds: int | None
    pod: Pod


@dataclass(frozen=True, slots=True)
class Executors:
    """Every executor of a file, still unread, and the platform's word on each, by label."""

    executors: Mapping[str, Any]
    platforms: Mapping[str, Any]

    def read(
        self,
        component: Component,
        *,
        present: Collection[str],
        uncertain: Collection[str],
        taken: Collection[str],
        remote: Collection[str],
        task: str,
    ) -> Running:
        """Read how one task runs.

        Args:
            component: What it runs.
            present: The component's inputs that have a value here, their default included.
            taken: The component's input artifacts that are given here.
            remote: Those of them that are imported and no file here.
            uncertain: Those of which only the run's parameters tell whether they have one.
            task: Its name, for errors.

        Raises:
            InputError: The executor is missing, is no container, or uses what is not supported.
        """
        label = component.executor_label or ""
        container = self._executor(label, task).container
        if container is None:
            raise unsupported(task, "an executor that is no container")
        texts = [*container.command, *container.args]
        fixed = [container.image, *(item.value for item in container.env)]
        if any(has_placeholder(text) for text in fixed):
            raise unsupported(task, "a placeholder in its image or its environment")
        outputs = component.output_definitions.parameters
        defined = component.input_definitions
        structures = Structures(
            {*defined.parameters, *defined.artifacts}, {*present, *taken}, task, uncertain
        )

        def pieces(texts: list[str]) -> tuple[Piece, ...]:
            return tuple(
                parse_piece(
                    text,
                    inputs=present,
                    outputs=outputs,
                    task=task,
                    taken=taken,
                    made=component.output_definitions.artifacts,
                )
                for text in structures.resolve(texts)
            )

        for name in remote:
            if any(f"inputs.artifacts['{name}'].path" in text for text in texts):
                raise unsupported(
                    task,
                    f"the path of the artifact {name!r}, which is imported from elsewhere",
                    fix="take its uri, and fetch it in the component",
                )
        platform = read_platform(self.platforms.get(label, {}), label=label, task=task)
        command, args = pieces(container.command), pieces(container.args)
        _check_certain((*command, *args), uncertain, task)
        return Running(
            image=container.image,
            command=command,
            args=args,
            env=tuple((item.name, item.value) for item in container.env),
            resources=_resources(container, task),
            timeout_seconds=_timeout(platform, task),
            pod=platform.pod(task),
        )

    def importer(self, component: Component, *, task: str) -> Importer | None:
        """Read what a component imports; None if it runs something."""
        return self._executor(component.executor_label or "", task).importer

    def _executor(self, label: str, task: str) -> Executor:
        if label not in self.executors:
            raise InputError(
                f"task {task!r} needs the executor {label!r}, which the file does not hold",
                fix="compile the pipeline again",
            )
        place = f"deploymentSpec.executors.{label}"
        return check(Executor, self.executors[label], place=place, task=task)


def _timeout(platform: ExecutorPlatform, task: str) -> int | None:
    text = str(platform.active_deadline_seconds)
    if not text.isdecimal():
        raise InputError(
            f"activeDeadlineSeconds is {text!r} (task {task!r})",
            fix="give a whole number of seconds",
        )
    return int(text) or None


def _check_certain(pieces: tuple[Piece, ...], uncertain: Collection[str], task: str) -> None:
    used = {part.name for piece in pieces for part in piece if isinstance(part, InputRef)}
    if found := sorted(used & set(uncertain)):
        raise uncertain_input(task, found[0])


def read_retry(spec: TaskSpec, *, task: str) -> Retry | None:
    """Read how often a task is tried again; None where it is tried once."""
    policy = spec.retry_policy
    if policy is None or policy.max_retry_count == 0:
        return None
    return Retry(
        max_retries=policy.max_retry_count,
        backoff_seconds=seconds(policy.backoff_duration, what="the backoff", task=task),
        backoff_factor=policy.backoff_factor,
        backoff_max_seconds=seconds(
            policy.backoff_max_duration, what="the longest backoff", task=task
        ),
    )


def _resources(container: Container, task: str) -> Resources:
    given = container.resources
    resources = Resources(
        cpu_request=given.resource_cpu_request or _cores(given.cpu_request),
        cpu_limit=given.resource_cpu_limit or _cores(given.cpu_limit),
        memory_request=given.resource_memory_request or _bytes(given.memory_request),
        memory_limit=given.resource_memory_limit or _bytes(given.memory_limit),
        accelerator=_accelerator(given),
    )
    if any(has_placeholder(str(value)) for value in given.model_dump().values()):
        raise unsupported(task, "resources that depend on a parameter")
    return resources


def _accelerator(given: GivenResources) -> tuple[str, str]:
    if given.accelerator is None:
        return "", ""
    kind = given.accelerator.resource_type or given.accelerator.type
    return kind, given.accelerator.resource_count or str(given.accelerator.count or 1)


def _cores(count: float | None) -> str:
    return f"{round(count * 1000)}m" if count else ""


def _bytes(gigabytes: float | None) -> str:
    return str(round(gigabytes * GIGABYTE)) if gigabytes else ""
