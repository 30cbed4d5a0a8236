"""One container to run: what it takes and makes, and what it waits for.

A task starts when every task it names (by an input, a condition or ``after``) has succeeded and
every one of its conditions is true. It is skipped when a condition is false or when something it
waits for was skipped or failed. Two weaker ways of waiting are for the ends of groups: ``passed``
forgives a skip, ``behind`` forgives everything. The exit task, if there is one, runs once all
others have ended, however they ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from coalmine.compiler.condition import Condition
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import ExecutorText, Piece
from coalmine.compiler.podspec import Pod
from coalmine.compiler.value import Value, map_value, needed, references, simple_values

__all__ = ["NAME", "Artifact", "Resources", "Retry", "Task", "Turn"]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""What a task's name looks like: legal as it stands on every target (RFC 1123 label)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed task is tried again.

    Attributes:
        max_retries: Tries after the first.
        backoff_seconds: Wait before the first retry.
        backoff_factor: What the wait is multiplied with after each retry.
        backoff_max_seconds: The longest wait; None where there is no limit.
    """

    max_retries: int
    backoff_seconds: float = 0.0
    backoff_factor: float = 2.0
    backoff_max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container asks for and may use at most, as Kubernetes quantities; empty: unsaid.

    An accelerator is the name of its resource and how many.
    """

    cpu_request: str = ""
    cpu_limit: str = ""
    memory_request: str = ""
    memory_limit: str = ""
    accelerator: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that a task takes or makes.

    Attributes:
        name: As its component names it.
        type: Its schema's title, such as ``system.Model``.
        version: Its schema's version.
    """

    name: str
    type: str = "system.Artifact"
    version: str = "0.0.1"


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a loop that has been undone.

    Attributes:
        loop: The loop.
        at: Which turn, counted from zero.
        limit: How many turns may be under way at once; None where there is no limit.
    """

    loop: str
    at: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One container to run.

    Attributes:
        name: Unique in the graph, a legal name on every target (see ``NAME``).
        component: The name of the component it was made from.
        image: The container image.
        command: The entrypoint's arguments; empty where the image's own is meant.
        args: The arguments behind it.
        inputs: What the component takes, in its order.
        arguments: What each input gets, in the inputs' order. An input without an entry has no
            value here and takes its default. Those of the artifacts stand behind them.
        outputs: The parameters it writes.
        taken: The artifacts it reads.
        made: The artifacts it writes.
        after: Tasks that must have succeeded first although nothing of theirs is used.
        passed: Tasks that must have ended first and must not have failed; they may be skipped.
        behind: Tasks that must have ended first, however they ended. An argument that one of them
            did not write is left to the input's default.
        when: All must be true.
        loops: The loops it stands in, from the outside in; it is run once for each turn.
        turns: The turns it is part of, of the loops around it that have been undone.
        retry: None where it is tried once.
        timeout_seconds: For one try; None where there is no limit.
        env: Environment variables, name and value.
        resources: What it asks for.
        pod: What kfp-kubernetes says of its pod.
        title: What people are shown in place of its name; empty for the name.
    """

    name: str
    component: str
    image: str
    command: tuple[Piece, ...] = ()
    args: tuple[Piece, ...] = ()
    inputs: tuple[Parameter, ...] = ()
    arguments: tuple[tuple[str, Value], ...] = ()
    outputs: tuple[Parameter, ...] = ()
    taken: tuple[Artifact, ...] = ()
    made: tuple[Artifact, ...] = ()
    after: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    loops: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    retry: Retry | None = None
    timeout_seconds: int | None = None
    env: tuple[tuple[str, str], ...] = ()
    resources: Resources = field(default_factory=Resources)
    pod: Pod = field(default_factory=Pod)
    title: str = ""

    def values(self) -> list[Value]:
        """List every value it uses, those of its conditions included."""
        used = [one for _, value in self.arguments for one in simple_values(value)]
        return used + [side for item in self.when for side in (item.left, item.right)]

    def depends_on(self) -> frozenset[str]:
        """Name the tasks that have to succeed first: by an input, a condition, or ``after``."""
        used = {found.task for value in self.values() for found in needed(value)}
        return frozenset((used | set(self.after)) - set(self.behind))

    def follows(self) -> frozenset[str]:
        """Name every task that has to end first, in whatever way it is waited for."""
        used = {found.task for value in self.values() for found in references(value)}
        return frozenset(used.union(self.after, self.passed, self.behind))

    @property
    def takes_executor_input(self) -> bool:
        """Tell whether it speaks KFP's executor protocol, as Python function components do."""
        pieces = (*self.command, *self.args)
        return any(isinstance(part, ExecutorText) for piece in pieces for part in piece)

    def with_values(self, of: Callable[[Value], Value]) -> Task:
        """Replace each value that it uses."""

        def compared(item: Condition) -> Condition:
            return replace(item, left=map_value(item.left, of), right=map_value(item.right, of))

        return replace(
            self,
            arguments=tuple((name, map_value(value, of)) for name, value in self.arguments),
            when=tuple(compared(item) for item in self.when),
        )
