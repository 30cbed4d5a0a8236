"""What is uploaded: compiled IR, no task cached, a token where one is needed; its clean-up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import yaml

from coalmine.compiler.graph import Graph
from coalmine.compiler.ir import read_graph_text
from coalmine.compiler.ir.document import PARSER
from coalmine.engines.callback import VARIABLE, Callback

__all__ = ["exit_only", "graph_of", "uncached", "version_name", "with_token"]

Object = dict[str, Any]


def uncached(text: str) -> str:
    """Switch caching off on every task: a release is never answered from an older one.

    The text is left as it is if no task of it is cached.
    """
    documents = list(yaml.load_all(text, Loader=PARSER))
    cached = [task for task in _tasks(documents[0]) if _options(task).get("enableCache")]
    if not cached:
        return text
    for task in cached:
        task["cachingOptions"] = {}
    return str(yaml.safe_dump_all(documents, sort_keys=False))


def with_token(text: str, callback: Callback, graph: Graph) -> str:
    """Let the tasks that ask the launcher have their token, in the words of kfp-kubernetes.

    The text is left as it is if there is none to have.
    """
    components = {f"comp-{task.component}" for task in callback.askers(graph)}
    if not components:
        return text
    first, *rest = yaml.load_all(text, Loader=PARSER)
    platform = rest[0] if rest else {}
    executors = platform
    for part in ("platforms", "kubernetes", "deploymentSpec", "executors"):
        executors = executors.setdefault(part, {})
    for component in sorted(components):
        executor = executors.setdefault(first["components"][component]["executorLabel"], {})
        executor.setdefault("secretAsEnv", []).append(_secret_env(callback))
    return str(yaml.safe_dump_all([first, platform], sort_keys=False))


def _secret_env(callback: Callback) -> Object:
    return {
        "secretName": callback.secret,
        "secretNameParameter": {"runtimeValue": {"constant": callback.secret}},
        "keyToEnv": [{"secretKey": callback.key, "envVar": VARIABLE}],
        "optional": True,
    }


def exit_only(text: str, exit_task: str) -> str | None:
    """Leave of a pipeline nothing but its exit task.

    Kubeflow Pipelines starts no task of a run that it has terminated, the exit task included.

    Returns:
        None if the exit task takes more than the pipeline's parameters.
    """
    first, *rest = yaml.load_all(text, Loader=PARSER)
    task = first["root"]["dag"]["tasks"].get(exit_task)
    if task is None:
        return None
    inputs = (task.get("inputs") or {}).get("parameters") or {}
    if (task.get("inputs") or {}).get("artifacts") or not all(map(_is_given, inputs.values())):
        return None
    kept = {key: task[key] for key in task if key not in {"dependentTasks", "triggerPolicy"}}
    first["root"]["dag"] = {"tasks": {exit_task: kept}}
    first["root"].pop("outputDefinitions", None)
    return str(yaml.safe_dump_all([first, *rest], sort_keys=False))


def version_name(graph: Graph, text: str) -> str:
    """Name a version by what it holds, so that the same is uploaded once."""
    return f"{graph.name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _is_given(source: Object) -> bool:
    return bool({"componentInputParameter", "runtimeValue"} & source.keys())


def _options(task: Object) -> Object:
    return task.get("cachingOptions") or {}


def _tasks(document: Object) -> Iterator[Object]:
    parts = [document.get("root") or {}, *(document.get("components") or {}).values()]
    for part in parts:
        yield from ((part.get("dag") or {}).get("tasks") or {}).values()


def graph_of(spec: Object) -> tuple[Graph, str]:
    """Read a pipeline as the API gives it back; where it has a second document, it has two keys."""
    parts = (
        [spec["pipeline_spec"], spec.get("platform_spec")] if "pipeline_spec" in spec else [spec]
    )
    text = "---\n".join(json.dumps(part) + "\n" for part in parts if part)
    return read_graph_text(text, source="the pipeline in Kubeflow Pipelines"), text
