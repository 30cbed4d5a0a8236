"""The graph as JSON, for programs; what is empty is left out."""

from __future__ import annotations

import json
from typing import Any

from coalmine.compiler.graph import Graph, Loop
from coalmine.compiler.parameter import Parameter
from coalmine.compiler.piece import ArtifactPath, ExecutorText, InputRef, OutputPath, Part
from coalmine.compiler.task import Task
from coalmine.compiler.value import (
    Constant,
    FinalStatus,
    Gathered,
    Imported,
    Joined,
    Listed,
    LoopItem,
    OneOf,
    ParameterRef,
    RunFact,
    TaskOutputRef,
    Value,
)
from coalmine.compiler.views.edges import Edge, edges, say

__all__ = ["to_json"]


def to_json(graph: Graph) -> str:
    """Write the graph as JSON, with a final newline."""
    written = {
        "name": graph.name,
        "description": graph.description,
        "parameters": [_parameter(item) for item in graph.parameters],
        "tasks": [_task(task) for task in graph.tasks],
        "outputs": {name: _value(value) for name, value in graph.outputs},
        "loops": [_loop(loop) for loop in graph.loops],
        "exitTask": _task(graph.exit_task) if graph.exit_task else None,
        "edges": [_edge(edge) for edge in edges(graph)],
    }
    return json.dumps(_said(written), indent=2, ensure_ascii=False) + "\n"


def _said(written: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in written.items() if item not in (None, "", [], {})}


def _parameter(item: Parameter) -> dict[str, Any]:
    default = {} if item.default is None else {"default": item.default}
    return {"name": item.name, "type": item.type.value, **default}


def _task(task: Task) -> dict[str, Any]:
    retry = task.retry
    written = {
        "name": task.name,
        "component": task.component,
        "image": task.image,
        "command": [[_part(part) for part in piece] for piece in task.command],
        "args": [[_part(part) for part in piece] for piece in task.args],
        "inputs": [_parameter(item) for item in task.inputs],
        "arguments": {name: _value(value) for name, value in task.arguments},
        "outputs": [_parameter(item) for item in task.outputs],
        "inputArtifacts": {item.name: item.type for item in task.taken},
        "outputArtifacts": {item.name: item.type for item in task.made},
        "waitsFor": sorted(task.depends_on()),
        "waitsUnlessFailed": sorted(task.follows() - task.depends_on() - set(task.behind)),
        "waitsForTheEndOf": list(task.behind),
        "when": [say(item) for item in task.when],
        "loops": list(task.loops),
        "maxRetries": retry.max_retries if retry else None,
        "timeoutSeconds": task.timeout_seconds,
        "env": dict(task.env),
    }
    return _said(written)


def _loop(loop: Loop) -> dict[str, Any]:
    return _said(
        {
            "name": loop.name,
            "items": _value(loop.items),
            "limit": loop.limit,
            "loops": list(loop.loops),
        }
    )


def _part(part: Part) -> str | dict[str, str]:
    match part:
        case RunFact():
            return {"fact": part.value}
        case ExecutorText():
            return {"executor": part.value}
        case ArtifactPath(name, made):
            return {"outputArtifact" if made else "inputArtifact": name}
        case InputRef(name):
            return {"input": name}
        case OutputPath(name):
            return {"outputPath": name}
        case _:
            return part


def _value(value: Value) -> dict[str, Any]:  # noqa: C901, PLR0911 - one for each kind
    match value:
        case RunFact():
            return {"fact": value.value}
        case Joined(parts):
            return {"joined": [_value(part) for part in parts]}
        case Imported():
            return {"imported": _value(value.uri), "type": value.type}
        case FinalStatus(name):
            return {"finalStatusOf": name}
        case Constant(text):
            return {"constant": text}
        case ParameterRef(name):
            return {"parameter": name}
        case TaskOutputRef(task, output):
            return {"task": task, "output": output}
        case OneOf(choices):
            return {"oneOf": [_value(choice) for choice in choices]}
        case LoopItem(loop, path):
            return {"itemOf": loop, "path": list(path)}
        case Gathered(loop, inner):
            return {"eachOf": loop, "value": _value(inner)}
        case Listed(values):
            return {"list": [_value(inner) for inner in values]}


def _edge(edge: Edge) -> dict[str, Any]:
    when = [say(item) for item in edge.conditions]
    return _said({"from": edge.source, "to": edge.target, "when": when}) | (
        {"always": True} if edge.always else {}
    )
