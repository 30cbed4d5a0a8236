"""Around an Argo WorkflowTemplate: a Workflow, Argo Events, and the accounts of both.

What Argo Events does that shapes this (read in its source, 1.9): an event that no filter takes is
answered 200 and dropped; a template that comes to nothing falls back to the parameter's ``value``;
a Workflow whose name is taken is not made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine.compiler.around.lua import canonical, script
from coalmine.compiler.around.objects import (
    binding,
    parameter_values,
    role,
    run_account,
    service_account,
    start_account,
)
from coalmine.compiler.around.rules import ID_LENGTH, Field, Rule, Text
from coalmine.compiler.graph import Graph

__all__ = ["rbac", "run", "triggers", "workflow"]

WORKFLOWS = "argoproj.io"
ENDPOINT = "events"
PORT = 12000
ID = f'{{{{ index .Input.header "Ce-Id" 0 | replace "-" "" | trunc {ID_LENGTH} }}}}'


def run(graph: Graph, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Make a Workflow: for ``kubectl create``, each time a new one."""
    values = parameter_values(dict(parameters), forbidden="{{ $$ $(", target="Argo")
    return [workflow(graph, {"generateName": f"{graph.name}-"}, values)]


def triggers(graph: Graph, rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """Make what starts a run for an event: a source that listens, and a sensor that decides."""
    source = {
        "apiVersion": f"{WORKFLOWS}/v1alpha1",
        "kind": "EventSource",
        "metadata": {"name": graph.name},
        "spec": {
            "service": {"ports": [{"port": PORT, "targetPort": PORT}]},
            "webhook": {
                ENDPOINT: {
                    "endpoint": f"/{ENDPOINT}",
                    "method": "POST",
                    "port": str(PORT),
                    "url": "",
                }
            },
        },
    }
    sensor = {
        "apiVersion": f"{WORKFLOWS}/v1alpha1",
        "kind": "Sensor",
        "metadata": {"name": graph.name},
        "spec": {
            "template": {"serviceAccountName": start_account(graph.name)},
            "dependencies": [_dependency(graph, rule) for rule in rules],
            "triggers": [_trigger(graph, rule) for rule in rules],
        },
    }
    return [source, sensor]


def rbac(graph: Graph, *, triggers: bool, namespace: str) -> list[dict[str, Any]]:  # noqa: ARG001
    """Make the accounts: a task reports its result, a sensor makes workflows; no more."""
    runner, starter = run_account(graph.name), start_account(graph.name)
    made = [
        service_account(runner),
        role(runner, [(WORKFLOWS, ["workflowtaskresults"], ["create", "patch"])]),
        binding(runner, runner),
    ]
    if triggers:
        made += [
            service_account(starter),
            role(starter, [(WORKFLOWS, ["workflows"], ["create"])]),
            binding(starter, starter),
        ]
    return made


def workflow(
    graph: Graph, metadata: dict[str, Any], values: list[dict[str, str]]
) -> dict[str, Any]:
    """Write a Workflow of the WorkflowTemplate of that name."""
    spec: dict[str, Any] = {
        "workflowTemplateRef": {"name": graph.name},
        "serviceAccountName": run_account(graph.name),
    }
    if values:
        spec["arguments"] = {"parameters": values}
    return {
        "apiVersion": f"{WORKFLOWS}/v1alpha1",
        "kind": "Workflow",
        "metadata": metadata,
        "spec": spec,
    }


def _dependency(graph: Graph, rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "eventSourceName": graph.name,
        "eventName": ENDPOINT,
        "filters": {"script": script(rule)},
    }


def _trigger(graph: Graph, rule: Rule) -> dict[str, Any]:
    names = [name for name, _, _ in rule.parameters]
    parameters = [
        _parameter(
            rule,
            f"spec.arguments.parameters.{number}.value",
            _template(value, default),
            fallback=None if default is None else _literal(default),
        )
        for number, (_, value, default) in enumerate(rule.parameters)
    ]
    if rule.id_parameter:
        names.append(rule.id_parameter)
        place = f"spec.arguments.parameters.{len(names) - 1}.value"
        parameters.append(_parameter(rule, place, f"r{ID}"))
    parameters.append(_parameter(rule, "metadata.name", f"{graph.name}-r{ID}"))
    made = workflow(graph, {"name": graph.name}, [{"name": name, "value": ""} for name in names])
    return {
        "template": {
            "name": rule.name,
            "conditions": rule.name,
            "k8s": {
                "operation": "create",
                "source": {"resource": made},
                "parameters": parameters,
            },
        },
        "retryStrategy": {"steps": 5, "duration": "5s", "factor": 2},
    }


def _parameter(
    rule: Rule, place: str, template: str, *, fallback: str | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"dependencyName": rule.name, "dataTemplate": template}
    if fallback is not None:
        # A template that fails or comes to nothing is an error but for this.
        source["value"] = fallback
    return {"src": source, "dest": place}


def _literal(default: Text) -> str:
    return "".join(part for part in default if isinstance(part, str))


def _template(value: Text, default: Text | None) -> str:
    written = _text(value)
    fields = [_place(part) for part in value if isinstance(part, Field)]
    if default is None or not fields:
        return written
    there = f"and {' '.join(fields)}" if len(fields) > 1 else fields[0]
    return f"{{{{ if {there} }}}}{written}{{{{ else }}}}{_text(default)}{{{{ end }}}}"


def _text(text: Text) -> str:
    return "".join(p if isinstance(p, str) else f"{{{{ {_place(p)} }}}}" for p in text)


def _place(item: Field) -> str:
    if item.header:
        return f'(index (index .Input.header "{canonical(item.path[0])}") 0)'
    keys = " ".join(f'"{key}"' for key in item.path)
    return f"(index .Input.body {keys})"
