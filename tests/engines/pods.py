"""What reaches the container of a task, as Tekton, Argo and Kubeflow Pipelines make it of a run.

Each replaces its own references, and more than once; then the kubelet replaces its own. Held
against what was recorded on Tekton 1.15 and Argo 3.7. Of Kubeflow Pipelines nothing was recorded:
its placeholders are those of its own launcher, and the values pass through Argo and the kubelet.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["Container", "argo", "argo_text", "container_text", "kfp", "tekton", "tekton_text"]

Object = Mapping[str, Any]
PASSES = 3
"""A reference that a value brought along is replaced by a later pass."""
TEKTON = re.compile(r"\$\(([^()]+)\)")
ARGO = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
KUBELET = re.compile(r"\$(\$|\(([^()]*)\))")


class Container(NamedTuple):
    """How a container is started."""

    argv: list[str]
    env: dict[str, str]

    def after(self, option: str) -> str:
        """The word behind an option."""
        return self.argv[self.argv.index(option) + 1]


def container_text(text: str, env: Mapping[str, str]) -> str:
    """Replace as the kubelet does: ``$(NAME)`` of what is in the environment, and ``$$``."""

    def put(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else env.get(found[2], found[0])

    return KUBELET.sub(put, text)


def tekton_text(text: str, known: Mapping[str, str]) -> str:
    """Replace as Tekton does: what it does not know stays."""
    return _often(TEKTON, text, known.get)


def argo_text(text: str, known: Mapping[str, str]) -> str:
    """Replace as Argo does; an expression is evaluated, here to something else than its text."""

    def value(name: str) -> str | None:
        return known.get(name.strip(), "evaluated" if name.startswith("=") else None)

    return _often(ARGO, text, value)


def _often(pattern: re.Pattern[str], text: str, value: Callable[[str], str | None]) -> str:
    def put(found: re.Match[str]) -> str:
        known = value(found[1])
        return found[0] if known is None else known

    for _ in range(PASSES):
        text = pattern.sub(put, text)
    return text


def _prefixed(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _env(items: Iterable[Object], secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The environment, with what Secrets hold (``data``, base64)."""
    found: dict[str, str] = {}
    for item in items:
        if "value" in item:
            found[item["name"]] = item["value"]
            continue
        source = item["valueFrom"]["secretKeyRef"]
        data = secrets.get(source["name"], {}).get(source["key"])
        if data is not None:
            found[item["name"]] = base64.b64decode(data).decode()
        else:
            assert source["optional"], f"the pod would never start without {source}"
    return found


def tekton(
    run: Object,
    task: str,
    results: Mapping[str, str],
    paths: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
) -> Container:
    """Start a task of a PipelineRun.

    Args:
        run: The PipelineRun, with its pipeline in it.
        task: The task's name.
        results: Of other tasks, as ``canary.results.since``.
        paths: Where it writes its own.
        secrets: The data of each.
    """
    spec = run["spec"]["pipelineSpec"]
    given = {one["name"]: one["default"] for one in spec["params"] if "default" in one}
    given |= {one["name"]: one["value"] for one in run["spec"]["params"]}
    known = _prefixed("params.", given) | _prefixed("tasks.", results)
    known |= {"context.pipelineRun.name": run["metadata"]["name"]}
    (found,) = (one for one in (*spec["tasks"], *spec.get("finally", ())) if one["name"] == task)
    own = {one["name"]: tekton_text(one["value"], known) for one in found["params"]}
    known = _prefixed("params.", own) | {f"results.{key}.path": at for key, at in paths.items()}
    (step,) = found["taskSpec"]["steps"]
    env = _env(step.get("env", ()), secrets)
    words = (*step["command"], *step["args"])
    return Container([container_text(tekton_text(one, known), env) for one in words], env)


def argo(
    run: Object, task: str, outputs: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]]
) -> Container:
    """Start a task of a Workflow; outputs of others as ``canary.outputs.parameters.since``."""
    spec = run["spec"]
    given = {one["name"]: one["value"] for one in spec["arguments"]["parameters"]}
    known = _prefixed("workflow.parameters.", given) | _prefixed("tasks.", outputs)
    known |= {"workflow.name": run["metadata"]["name"]}
    templates = {one["name"]: one for one in spec["templates"]}
    (found,) = (one for one in templates[spec["entrypoint"]]["dag"]["tasks"] if one["name"] == task)
    own = {one["name"]: argo_text(one["value"], known) for one in found["arguments"]["parameters"]}
    container = templates[found["template"]]["container"]
    known |= _prefixed("inputs.parameters.", own)
    env = _env(container.get("env", ()), secrets)
    words = (*container["command"], *container["args"])
    return Container([container_text(argo_text(one, known), env) for one in words], env)


def kfp(
    version: Object,
    body: Object,
    component: str,
    wired: Mapping[str, str],
    secrets: Mapping[str, Mapping[str, str]],
) -> Container:
    """Start a task of a run on Kubeflow Pipelines.

    Args:
        version: The uploaded pipeline, as the API keeps it.
        body: The run, as it was asked for.
        component: The task's component.
        wired: What its inputs get that are no parameters of the pipeline.
        secrets: The data of each.
    """
    spec = version["pipeline_spec"]
    first = spec.get("pipeline_spec", spec)
    definitions = first["root"]["inputDefinitions"]["parameters"]
    given = {
        name: one["defaultValue"] for name, one in definitions.items() if "defaultValue" in one
    }
    given |= body["runtime_config"]["parameters"]
    label = first["components"][f"comp-{component}"]["executorLabel"]
    inputs = first["components"][f"comp-{component}"]["inputDefinitions"]["parameters"]
    own = {name: wired[name] if name in wired else given[name] for name in inputs}
    container = first["deploymentSpec"]["executors"][label]["container"]
    platform = spec.get("platform_spec", {}).get("platforms", {}).get("kubernetes", {})
    executor = platform.get("deploymentSpec", {}).get("executors", {}).get(label, {})
    env = _env(_of_kfp(executor.get("secretAsEnv", ())), secrets)
    # The driver hands all of it on as JSON, in the arguments of the container.
    through = json.dumps(own, ensure_ascii=False)
    through = container_text(argo_text(through, {"workflow.name": "w", "pod.name": "p"}), env)
    known = {f"$.inputs.parameters['{key}']": text for key, text in json.loads(through).items()}
    words = (*container["command"], *container["args"])
    return Container([_replaced(one, known) for one in words], env)


def _of_kfp(sources: Iterable[Object]) -> Iterable[Object]:
    for source in sources:
        for key in source["keyToEnv"]:
            of = {"name": source["secretName"], "key": key["secretKey"]}
            yield {
                "name": key["envVar"],
                "valueFrom": {"secretKeyRef": {**of, "optional": source["optional"]}},
            }


def _replaced(text: str, known: Mapping[str, object]) -> str:
    """Replace KFP's placeholders one after the other, in no order: so in each."""
    for name, value in (*known.items(), *reversed(list(known.items()))):
        text = text.replace(f"{{{{{name}}}}}", str(value))
    return text
