"""How Argo says a run: one Workflow, whose status tells of every task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.compiler.argo import lower
from coalmine.compiler.around.argo import workflow
from coalmine.compiler.graph import Graph
from coalmine.engines.argo.nodes import nodes_of, own_nodes
from coalmine.engines.argo.status import ENDED, read_run
from coalmine.engines.kube.answers import Object, Resource
from coalmine.engines.kube.dialect import Container, TaskObjects
from coalmine.engines.protocol import RunStatus

__all__ = ["Argo"]

CONTAINER = "main"
ALONE = "exit-alone"
OF_THE_RUN = ("workflow.status", "workflow.failures", "tasks.")
"""What an exit handler cannot have without the run."""


class Argo:
    """Argo Workflows, ``argoproj.io/v1alpha1``."""

    name = "argo"
    runs = Resource("argoproj.io/v1alpha1", "workflows")
    tasks: TaskObjects | None = None
    # Not Terminate, which would leave out the exit handler.
    ending: Mapping[str, Any] = {"spec": {"shutdown": "Stop"}}

    def compile(self, graph: Graph) -> Object:
        """Write the spec of a WorkflowTemplate."""
        spec: Object = lower(graph).document["spec"]
        return spec

    def run(
        self, graph: Graph, metadata: Object, values: Mapping[str, str], compiled: Object | None
    ) -> Object:
        """Write a Workflow."""
        parameters = [{"name": name, "value": value} for name, value in values.items()]
        made = workflow(graph, metadata, parameters)
        if compiled is None:
            return made
        spec = {key: value for key, value in made["spec"].items() if key != "workflowTemplateRef"}
        made["spec"] = {**compiled, **spec}
        known = compiled.get("arguments", {}).get("parameters", [])
        if known:
            given = [{**one, **_given(one["name"], values)} for one in known]
            made["spec"]["arguments"] = {"parameters": given}
        return made

    def slim(self, item: Object) -> Object:
        """Leave the order of the tasks and the status of each."""
        metadata, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
        kept = {"name", "labels", "resourceVersion"} & metadata.keys()
        said = {"phase", "message", "outputs", "offloadNodeStatusVersion"} & status.keys()
        template = spec if "templates" in spec else status.get("storedWorkflowTemplateSpec") or {}
        return {
            "metadata": {name: metadata[name] for name in kept},
            "spec": {
                "shutdown": spec.get("shutdown", ""),
                "order": spec.get("order") or _order(template),
                "onExit": spec.get("onExit") or template.get("onExit", ""),
            },
            "status": {**{key: status[key] for key in said}, "nodes": nodes_of(status)},
        }

    def has_ended(self, run: Object) -> bool:
        """Tell whether its phase is an end."""
        return run.get("status", {}).get("phase") in ENDED

    def read(self, run_id: str, run: Object, tasks: Sequence[Object]) -> RunStatus:  # noqa: ARG002
        """Read how a run goes."""
        return read_run(run_id, self.slim(run))

    def exit_alone(self, run: Object, metadata: Object) -> Object | None:
        """Write a Workflow of nothing but the exit handler."""
        spec = run["spec"]
        whole = spec if "templates" in spec else run["status"].get("storedWorkflowTemplateSpec", {})
        handler = whole.get("onExit")
        templates = [one for one in whole.get("templates", []) if one["name"] == handler]
        if not templates or any(word in json.dumps(templates) for word in OF_THE_RUN):
            return None
        task = {"name": handler, "template": handler}
        own = {key: spec[key] for key in ("arguments", "serviceAccountName") if key in spec}
        kept = {**whole, **own}
        left = {key: value for key, value in kept.items() if key not in {"onExit", "shutdown"}}
        entry = {"name": ALONE, "dag": {"tasks": [task]}}
        return {
            "apiVersion": self.runs.version,
            "kind": "Workflow",
            "metadata": metadata,
            "spec": {**left, "entrypoint": ALONE, "templates": [entry, *templates]},
        }

    def container(self, run: Object, tasks: Sequence[Object], task: str) -> Container | None:  # noqa: ARG002
        """Name a task's newest pod, as Argo does since 3.4: by workflow, template and node."""
        node = own_nodes(self.slim(run)).get(task)
        if node is None or not node.tries:
            return None
        newest = node.tries[-1]
        workflow_name, _, number = str(newest["id"]).rpartition("-")
        if not workflow_name:
            return Container(str(newest["id"]), CONTAINER)
        return Container(f"{workflow_name}-{newest['templateName']}-{number}", CONTAINER)


def _given(name: str, values: Mapping[str, str]) -> dict[str, str]:
    return {"value": values[name]} if name in values else {}


def _order(template: Mapping[str, Any]) -> list[str]:
    first = template.get("entrypoint")
    found = [one for one in template.get("templates") or [] if one["name"] == first]
    tasks = [task["name"] for one in found for task in one.get("dag", {}).get("tasks", [])]
    return [*tasks, *([template["onExit"]] if template.get("onExit") else [])]
