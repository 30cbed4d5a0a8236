"""How a task on a cluster reaches its launcher: the URL by a parameter, the token by a Secret.

The gate asks there what a person decided about a canary that it holds. The URL is the launcher's
own word: an event that gave another would be shown the token. The token itself never comes here:
Kubernetes puts it into the container's environment, of those tasks alone that are given the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from coalmine._base.errors import InputError
from coalmine.compiler.graph import Graph
from coalmine.compiler.podspec import EnvSource
from coalmine.compiler.task import Task
from coalmine.compiler.value import ParameterRef

__all__ = ["PARAMETER", "VARIABLE", "Callback", "read_callback"]

PARAMETER = "launcher_url"
"""The parameter of a pipeline that is given the URL."""
VARIABLE = "COALMINE_TOKEN"
KEY = "token"
SECRET = re.compile(
    r"(?P<name>[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)(/(?P<key>[-._A-Za-z0-9]{1,253}))?"
)
"""A Secret, and the key in it unless that is `KEY`."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Where tasks find their launcher.

    Attributes:
        url: Its base URL, as seen from the tasks; empty where they cannot reach it.
        secret: The Secret that has a token for it, in the namespace of the runs; empty for none.
        key: The token's key in it.
    """

    url: str = ""
    secret: str = ""
    key: str = KEY

    def told(self, graph: Graph, values: Mapping[str, str]) -> Mapping[str, str]:
        """Add the URL to a run's values, if its pipeline takes it."""
        takes = any(parameter.name == PARAMETER for parameter in graph.parameters)
        return {**values, PARAMETER: self.url} if self.url and takes else values

    def askers(self, graph: Graph) -> tuple[Task, ...]:
        """Find the tasks that are to have the token."""
        return tuple(task for task in _all(graph) if self.secret and _asks(task))

    def equipped(self, graph: Graph) -> Graph:
        """Give the token to the tasks that are to have it."""
        names = {task.name for task in self.askers(graph)}
        if not names:
            return graph
        # A Secret that is not there must not hold up a task that may never have to ask.
        source = EnvSource(VARIABLE, "secretKeyRef", self.secret, self.key, optional=True)

        def with_token(task: Task) -> Task:
            if task.name not in names:
                return task
            return replace(task, pod=replace(task.pod, env=(*task.pod.env, source)))

        exit_task = with_token(graph.exit_task) if graph.exit_task else None
        return replace(graph, tasks=tuple(map(with_token, graph.tasks)), exit_task=exit_task)


def read_callback(url: str, secret: str) -> Callback:
    """Read how tasks reach the launcher from its settings.

    Raises:
        InputError: The URL is none, or the Secret cannot be called so or has no URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise InputError(
            f"{url!r} is no URL of a launcher",
            field="--tasks-url",
            fix="give the one at which pods reach it, such as http://coalmine-launcher.coalmine:8080",
        )
    if not secret:
        return Callback(url)
    found = SECRET.fullmatch(secret)
    if found is None or not url:
        raise InputError(
            f"{secret!r} names no Secret" if url else "there is a Secret, but no URL to show it to",
            field="--tasks-secret",
            fix="give its name, or its name and key as in coalmine-token/tasks, and --tasks-url",
        )
    return Callback(url, found["name"], found["key"] or KEY)


def _all(graph: Graph) -> Iterator[Task]:
    yield from graph.tasks
    if graph.exit_task:
        yield graph.exit_task


def _asks(task: Task) -> bool:
    return any(
        isinstance(value, ParameterRef) and value.name == PARAMETER for _, value in task.arguments
    )
