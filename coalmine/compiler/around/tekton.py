"""Around a Tekton Pipeline: a PipelineRun, Tekton Triggers, and the accounts of both.

What Triggers does that shapes this (measured on Triggers 0.37): it answers 202 whatever becomes
of an event; the same generateName body twice is two runs, the same name is one; a field that is
missing lets the run fail to be made, in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalmine.compiler.around import cel
from coalmine.compiler.around.objects import (
    binding,
    parameter_values,
    role,
    run_account,
    service_account,
    start_account,
)
from coalmine.compiler.around.rules import Rule
from coalmine.compiler.graph import Graph
from coalmine.compiler.pages import without_pages
from coalmine.compiler.tekton_wrap import WORKSPACE, has_workspace

__all__ = ["pipeline_run", "rbac", "run", "triggers"]

GROUP = "triggers.tekton.dev"
READ = ["get", "list", "watch"]
ARTIFACTS = "1Gi"
"""What all artifacts of one run may take."""


def run(graph: Graph, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Make a PipelineRun: for ``kubectl create``, each time a new one."""
    params = parameter_values(dict(parameters), forbidden="$$ $(", target="Tekton")
    return [pipeline_run(graph, {"generateName": f"{graph.name}-"}, params)]


def triggers(graph: Graph, rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """Make what starts a run for an event: a template, a binding for each rule, a listener."""
    listener = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "EventListener",
        "metadata": {"name": graph.name},
        "spec": {
            "serviceAccountName": start_account(graph.name),
            "triggers": [_trigger(graph, rule) for rule in rules],
        },
    }
    templates = [_template(graph, rule) for rule in rules]
    return [*templates, *(_binding(graph, rule) for rule in rules), listener]


def rbac(graph: Graph, *, triggers: bool, namespace: str) -> list[dict[str, Any]]:
    """Make the accounts. A task of Tekton needs no right of its own: its results travel in its pod.

    Args:
        graph: The pipeline.
        triggers: Whether events start runs.
        namespace: Where the account stands that reads the interceptors of the whole cluster.
    """
    made = [service_account(run_account(graph.name))]
    if not triggers:
        return made
    starter = start_account(graph.name)
    own = ["eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"]
    rules = [
        (GROUP, own, READ),
        ("tekton.dev", ["pipelineruns"], ["create"]),
        ("", ["configmaps"], READ),
    ]
    of_cluster = [(GROUP, ["clusterinterceptors", "clustertriggerbindings"], READ)]
    return [
        *made,
        service_account(starter),
        role(starter, rules),
        binding(starter, starter),
        role(f"{namespace}-{starter}", of_cluster, cluster=True),
        binding(f"{namespace}-{starter}", starter, namespace=namespace),
    ]


def pipeline_run(
    graph: Graph, metadata: dict[str, Any], params: list[dict[str, str]]
) -> dict[str, Any]:
    """Write a PipelineRun of the Pipeline of that name."""
    spec: dict[str, Any] = {"pipelineRef": {"name": graph.name}}
    if params:
        spec["params"] = params
    spec["taskRunTemplate"] = {"serviceAccountName": run_account(graph.name)}
    # Without it a run ends after an hour, whatever its tasks may take.
    spec["timeouts"] = {"pipeline": "0"}
    if has_workspace(without_pages(graph)):
        # Tekton refuses a run that leaves out what its pipeline declares.
        spec["workspaces"] = [_workspace()]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": metadata,
        "spec": spec,
    }


def _workspace() -> dict[str, Any]:
    """Give a run a volume of its own, which goes with it."""
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": ARTIFACTS}},
    }
    return {"name": WORKSPACE, "volumeClaimTemplate": {"spec": claim}}


def _names(rule: Rule) -> list[str]:
    return [name for name, _, _ in rule.parameters] + [rule.id_parameter] * bool(rule.id_parameter)


def _object(graph: Graph, rule: Rule) -> str:
    return graph.name if rule.name == graph.name else f"{graph.name}-{rule.name}"


def _template(graph: Graph, rule: Rule) -> dict[str, Any]:
    params = [{"name": name, "value": f"$(tt.params.{name})"} for name in _names(rule)]
    metadata = {"name": f"{graph.name}-$(tt.params.{cel.RUN_ID})"}
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "TriggerTemplate",
        "metadata": {"name": _object(graph, rule)},
        "spec": {
            "params": [{"name": name} for name in (cel.RUN_ID, *_names(rule))],
            "resourcetemplates": [pipeline_run(graph, metadata, params)],
        },
    }


def _binding(graph: Graph, rule: Rule) -> dict[str, Any]:
    params = [
        {"name": name, "value": f"$(extensions.{cel.extension(rule, name)})"}
        for name in (cel.RUN_ID, *_names(rule))
    ]
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "TriggerBinding",
        "metadata": {"name": _object(graph, rule)},
        "spec": {"params": params},
    }


def _trigger(graph: Graph, rule: Rule) -> dict[str, Any]:
    name = _object(graph, rule)
    params = [
        {"name": "filter", "value": cel.condition(rule)},
        {
            "name": "overlays",
            "value": [{"key": key, "expression": text} for key, text in cel.values(rule).items()],
        },
    ]
    interceptor = {"ref": {"kind": "ClusterInterceptor", "name": "cel"}, "params": params}
    return {
        "name": rule.name,
        "interceptors": [interceptor],
        "bindings": [{"ref": name}],
        "template": {"ref": name},
    }
