"""A component that takes KFP's executor input, as a pod runs it: ``bootstrap`` around its command.

What the component runs stands behind ``--`` as it is, but for arguments with something to fill in
and for texts that an engine would read as its own language: those stand in the JSON of the first
argument, where any character can be written as a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from coalmine.compiler import bootstrap
from coalmine.compiler.executor import spec_of
from coalmine.compiler.graph import Graph
from coalmine.compiler.piece import ArtifactPath, ExecutorText, InputRef, OutputPath, Part, Piece
from coalmine.compiler.pod import pod_text
from coalmine.compiler.task import Task
from coalmine.compiler.value import Imported, ParameterRef, RunFact

__all__ = ["Wrapping", "about_imported", "facts_in", "left_out", "note", "safe_json", "wrapped"]

SHOWN = {ExecutorText.INPUT: "(the executor input)", ExecutorText.OUTPUT: "(its output's path)"}


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What an engine puts where.

    Attributes:
        inputs: References to the inputs' values.
        results: The files that outputs are written to.
        taken: Paths of input artifacts.
        about: Descriptions of input artifacts: a file, or JSON.
        made: Paths of output artifacts.
        keep: The files that their descriptions are written to.
        facts: What the run knows of itself.
        optional: Inputs that have no value if they are empty.
        is_safe: Tells whether a text arrives as it is.
        limit: Bytes that all outputs may take together; 0 for no limit.
        final: What the engine takes off the end of an output.
    """

    inputs: Mapping[str, str]
    results: Mapping[str, str]
    is_safe: Callable[[str], bool]
    taken: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[RunFact, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    limit: int = 0
    final: str = ""


@cache
def script() -> str:
    """Give the text of the bootstrap."""
    return Path(bootstrap.__file__).read_text(encoding="utf-8")


def wrapped(task: Task, wrapping: Wrapping) -> tuple[list[str], list[str]]:
    """Write a task's command and arguments with the bootstrap around them."""
    pieces = (*task.command, *task.args)
    inside = {
        str(index): [_part(part) for part in piece]
        for index, piece in enumerate(pieces)
        if not _is_plain(piece, wrapping)
    }
    spec = {**spec_of(task), "limit": wrapping.limit, "final": wrapping.final, "fill": inside}
    said = [
        *_pairs("input", wrapping.inputs, wrapping.inputs.keys() - wrapping.optional),
        *_pairs("optional", wrapping.inputs, wrapping.optional),
        *_pairs("taken", wrapping.taken),
        *_pairs("about", wrapping.about),
        *_pairs("result", wrapping.results),
        *_pairs("made", wrapping.made),
        *_pairs("keep", wrapping.keep),
        *_pairs("fact", wrapping.facts),
    ]
    command = [
        "".join(pod_text(str(part)) for part in piece)
        if str(index) not in inside
        else _shown(piece)
        for index, piece in enumerate(pieces)
    ]
    return ["python3", "-c", script()], [safe_json(spec), *said, "--", *command]


def safe_json(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """Write JSON in which no engine and no kubelet finds anything to replace."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("{{", "{\\u007b").replace("$", "\\u0024")


def about_imported(value: Imported) -> str:
    """Describe an artifact from outside, but for where it is."""
    schema = {"schemaTitle": value.type, "schemaVersion": value.version}
    metadata = json.loads(value.metadata)
    return safe_json({"name": "artifact", "type": schema, "metadata": metadata})


def facts_in(task: Task) -> set[RunFact]:
    """Find what a task's command line asks to know of the run."""
    pieces = (*task.command, *task.args)
    return {part for piece in pieces for part in piece if isinstance(part, RunFact)}


def left_out(task: Task, graph: Graph) -> frozenset[str]:
    """Name the inputs that have no value if the pipeline's parameter behind them has none."""
    optional = {item.name for item in graph.parameters if item.optional}
    return frozenset(
        name
        for name, value in task.arguments
        if isinstance(value, ParameterRef) and value.name in optional and value.otherwise is None
    )


def note(tasks: Iterable[Task]) -> list[str]:
    """Say what an image has to hold, where that is not plain from the component."""
    found = [task.name for task in tasks if task.takes_executor_input and not _is_function(task)]
    if not found:
        return []
    return [f"The images of {', '.join(found)} need python3: it makes their executor input."]


def _is_function(task: Task) -> bool:
    texts = [part for piece in task.command for part in piece if isinstance(part, str)]
    return any("kfp.dsl.executor_main" in text for text in texts)


def _is_plain(piece: Piece, wrapping: Wrapping) -> bool:
    return all(type(part) is str and wrapping.is_safe(part) for part in piece)


def _pairs(kind: str, of: Mapping[Any, str], names: Iterable[str] | None = None) -> list[str]:
    wanted = of if names is None else set(names)
    return [f"{kind}:{name}={text}" for name, text in of.items() if name in wanted]


def _shown(piece: Piece) -> str:
    (first, *more) = piece
    known = isinstance(first, ExecutorText) and not more
    return SHOWN[first] if known and isinstance(first, ExecutorText) else "(filled in)"


def _part(part: Part) -> str | list[str]:
    match part:
        case RunFact():
            return ["fact", part.value]
        case ExecutorText():
            return ["executor", part.value]
        case InputRef(name):
            return ["input", name]
        case OutputPath(name):
            return ["output", name]
        case ArtifactPath(name, made):
            return ["made" if made else "taken", name]
        case _:
            return part
