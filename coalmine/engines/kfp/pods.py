"""Which pod wrote what a task wrote, from the Workflow that Kubeflow Pipelines makes of a run.

A task is there a node that groups others and has its name; the pods of its tries are the ones
inside it, and that of its driver, which only prepares it, stands beside it. The v2beta1 API tells
neither (it leaves ``pod_name`` empty, and ``child_tasks`` hold ids of nodes, which name no pod
since Argo 3.4), so the Workflow is asked for. Read of the API server's source, not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["pod_of"]

Object = Mapping[str, Any]
OLD_NAMES = "workflows.argoproj.io/pod-name-format"
"""An annotation; ``v1`` where pods are named as nodes are."""


def pod_of(workflow: Object, task: str) -> str:
    """Name the pod of a task's newest try that has begun; empty if there is none.

    Args:
        workflow: The Workflow.
        task: The name that the task has in the pipeline.
    """
    nodes: Mapping[str, Object] = (workflow.get("status") or {}).get("nodes") or {}
    own = {key for key, one in nodes.items() if one.get("displayName") == task}
    begun = [
        (str(one.get("startedAt")), key)
        for key, one in nodes.items()
        if one.get("type") == "Pod"
        and one.get("phase") != "Pending"
        and (key in own or one.get("boundaryID") in own)
    ]
    return _name(workflow.get("metadata") or {}, nodes[max(begun)[1]]) if begun else ""


def _name(metadata: Object, node: Object) -> str:
    key, workflow_name = str(node.get("id")), str(metadata.get("name"))
    if (metadata.get("annotations") or {}).get(OLD_NAMES) == "v1" or key == workflow_name:
        return key
    number = key.rpartition("-")[2]
    if ".inline" in str(node.get("name")):
        return f"{workflow_name}-{number}"
    return f"{workflow_name}-{node.get('templateName')}-{number}"
