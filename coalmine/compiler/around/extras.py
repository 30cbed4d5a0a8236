"""Put together what a user asks for beside the pipeline itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any, Protocol, cast

from coalmine._base.errors import InputError
from coalmine.compiler.around.rules import Rule
from coalmine.compiler.graph import Graph

__all__ = ["Extra", "Surroundings", "check_parameters", "surround"]

LONGEST_NAME = 46
"""With the id of a run behind it, a run's name stays a legal label (63)."""
ASKED_BY_USER = "--param NAME=VALUE"


class Extra(StrEnum):
    """What may stand beside a pipeline."""

    RUN = "run"
    TRIGGERS = "triggers"
    RBAC = "rbac"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the extras are made from.

    Attributes:
        parameters: Values for a run.
        rules: Which events start the pipeline.
        namespace: Where the manifests will stand; needed where an object of the whole cluster
            names one of a namespace.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    namespace: str = "default"


class _Target(Protocol):
    def run(self, graph: Graph, parameters: Mapping[str, str]) -> list[dict[str, Any]]: ...

    def triggers(self, graph: Graph, rules: tuple[Rule, ...]) -> list[dict[str, Any]]: ...

    def rbac(self, graph: Graph, *, triggers: bool, namespace: str) -> list[dict[str, Any]]: ...


def surround(
    graph: Graph, target: str, extras: Collection[Extra], given: Surroundings
) -> list[dict[str, Any]]:
    """Make the objects beside a pipeline, in the order in which a cluster wants them.

    Args:
        graph: The pipeline.
        target: ``tekton`` or ``argo``.
        extras: What is asked for.
        given: What it is made from.

    Raises:
        InputError: A value is missing or wrong, or no event starts this pipeline.
    """
    if len(graph.name) > LONGEST_NAME:
        raise InputError(
            f"the pipeline's name has more than {LONGEST_NAME} characters", fix="give a shorter one"
        )
    module = cast("_Target", import_module(f"coalmine.compiler.around.{target}"))
    made: list[dict[str, Any]] = []
    if Extra.RBAC in extras:
        triggers = Extra.TRIGGERS in extras
        made += module.rbac(graph, triggers=triggers, namespace=given.namespace)
    if Extra.TRIGGERS in extras:
        rules = tuple(rule for rule in given.rules if rule.pipeline == graph.name)
        _check_rules(graph, rules)
        made += module.triggers(graph, rules)
    if Extra.RUN in extras:
        check_parameters(graph, given.parameters)
        made += module.run(graph, given.parameters)
    return made


def check_parameters(graph: Graph, values: Mapping[str, str]) -> None:
    """See that a run gets what the pipeline takes.

    Raises:
        InputError: A parameter is unknown or missing; names all of them.
    """
    taken = {item.name for item in graph.parameters}
    needed = {item.name for item in graph.parameters if item.default is None}
    for names, what in ((set(values) - taken, "does not take"), (needed - set(values), "needs")):
        if names:
            raise InputError(
                f"the pipeline {graph.name} {what}: {', '.join(sorted(names))}",
                field="--param",
                fix=f"for a run give {ASKED_BY_USER} for each parameter without a default",
            )


def _check_rules(graph: Graph, rules: tuple[Rule, ...]) -> None:
    if not rules:
        raise InputError(
            f"no binding names the pipeline {graph.name}",
            field="--bindings",
            fix="add one for it; see docs/event-contract.md",
        )
    taken = {item.name for item in graph.parameters}
    needed = {item.name for item in graph.parameters if item.default is None}
    for rule in rules:
        given = {name for name, _, _ in rule.parameters} | {rule.id_parameter} - {""}
        for names, what in ((given - taken, "does not take"), (needed - given, "also needs")):
            if names:
                raise InputError(
                    f"the pipeline {graph.name} {what}: {', '.join(sorted(names))}",
                    field=f"binding {rule.name}",
                )
