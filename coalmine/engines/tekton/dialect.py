"""How Tekton says a run: a PipelineRun, and a TaskRun for each task of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.compiler.around.tekton import pipeline_run
from coalmine.compiler.graph import Graph
from coalmine.compiler.tekton import lower
from coalmine.engines.kube.answers import Object, Resource
from coalmine.engines.kube.dialect import Container, TaskObjects
from coalmine.engines.protocol import RunStatus
from coalmine.engines.tekton.status import condition_of, read_run, task_of

__all__ = ["Tekton"]

OF_THE_RUN = ("$(tasks.", "workspaces")
"""What a task at the end cannot have without the others."""
STEP = "step-main"
"""The container of a task, by the name that the compiler gives its step."""


class Tekton:
    """Tekton Pipelines, ``tekton.dev/v1``."""

    name = "tekton"
    runs = Resource("tekton.dev/v1", "pipelineruns")
    tasks: TaskObjects | None = TaskObjects(
        Resource("tekton.dev/v1", "taskruns"), "tekton.dev/pipelineRun"
    )
    ending: Mapping[str, Any] = {"spec": {"status": "CancelledRunFinally"}}

    def compile(self, graph: Graph) -> Object:
        """Write the spec of a Pipeline."""
        spec: Object = lower(graph).document["spec"]
        return spec

    def run(
        self, graph: Graph, metadata: Object, values: Mapping[str, str], compiled: Object | None
    ) -> Object:
        """Write a PipelineRun."""
        params = [{"name": name, "value": value} for name, value in values.items()]
        made = pipeline_run(graph, metadata, params)
        if compiled is None:
            return made
        spec = {name: value for name, value in made["spec"].items() if name != "pipelineRef"}
        made["spec"] = {**spec, "pipelineSpec": compiled}
        return made

    def slim(self, item: Object) -> Object:
        """Leave names, conditions and results."""
        metadata, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
        pipeline = status.get("pipelineSpec") or spec.get("pipelineSpec") or {}
        kept = {"name", "labels", "resourceVersion"} & metadata.keys()
        dropped = {"pipelineSpec", "taskSpec", "provenance", "steps", "artifacts"}
        names = {
            part: [{"name": task["name"]} for task in pipeline.get(part) or []]
            for part in ("tasks", "finally")
        }
        return {
            "metadata": {name: metadata[name] for name in kept},
            "spec": {"status": spec.get("status", ""), "pipelineSpec": names},
            "status": {key: value for key, value in status.items() if key not in dropped},
        }

    def has_ended(self, run: Object) -> bool:
        """Tell whether its condition is decided."""
        return condition_of(run).get("status") in {"True", "False"}

    def read(self, run_id: str, run: Object, tasks: Sequence[Object]) -> RunStatus:
        """Read how a run goes."""
        return read_run(run_id, self.slim(run), tasks)

    def exit_alone(self, run: Object, metadata: Object) -> Object | None:
        """Write a PipelineRun whose tasks are those that were to run at the end."""
        spec = run["spec"]
        pipeline = spec.get("pipelineSpec") or run.get("status", {}).get("pipelineSpec") or {}
        tasks = pipeline.get("finally")
        if not tasks or any(word in json.dumps(tasks) for word in OF_THE_RUN):
            return None
        kept = {"params", "taskRunTemplate", "timeouts"} & spec.keys()
        alone = {"params": pipeline.get("params", []), "tasks": tasks}
        return {
            "apiVersion": self.runs.version,
            "kind": "PipelineRun",
            "metadata": metadata,
            "spec": {**{name: spec[name] for name in sorted(kept)}, "pipelineSpec": alone},
        }

    def container(self, run: Object, tasks: Sequence[Object], task: str) -> Container | None:  # noqa: ARG002
        """Find the pod that a TaskRun names."""
        pods = [one.get("status", {}).get("podName") for one in tasks if task_of(one) == task]
        return Container(pods[0], STEP) if pods and pods[0] else None
