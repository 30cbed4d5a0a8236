"""The placeholders in a container's command line: ``{{$.inputs.parameters['x']}}`` and the like."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from coalmine._base.errors import InputError
from coalmine.compiler.ir.refuse import unsupported
from coalmine.compiler.piece import ArtifactPath, ExecutorText, InputRef, OutputPath, Part, Piece
from coalmine.compiler.value import (
    Constant,
    Gathered,
    Joined,
    LoopItem,
    OneOf,
    ParameterRef,
    RunFact,
    TaskOutputRef,
    Value,
)

__all__ = ["has_placeholder", "parse_piece", "parse_value", "run_fact"]

PLACEHOLDER = re.compile(r"(\{\{\$.*?\}\})", re.DOTALL)
INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
OUTPUT = re.compile(r"\{\{\$\.outputs\.parameters\['([^']+)'\]\.output_file\}\}")
ARTIFACT = re.compile(r"\{\{\$\.(inputs|outputs)\.artifacts\['([^']+)'\]\.(?:path|uri)\}\}")
FACT = re.compile(r"\{\{\$\.(\w+)\}\}")
PLACES = {
    "{{$}}": ExecutorText.INPUT,
    "{{$.outputs.output_file}}": ExecutorText.OUTPUT,
    "{{$.outputMetadataUri}}": ExecutorText.OUTPUT,
}
OPENING = "{{$"
WRITTEN = (Constant, ParameterRef, TaskOutputRef, OneOf, LoopItem, Gathered, RunFact, Joined)
"""What an f-string may be made of."""


def has_placeholder(text: str) -> bool:
    """Tell whether KFP would replace something in a text."""
    return OPENING in text


def parse_piece(
    text: str,
    *,
    inputs: Collection[str],
    outputs: Collection[str],
    task: str,
    taken: Collection[str] = (),
    made: Collection[str] = (),
) -> Piece:
    """Split one argument into literal text, inputs and output paths.

    Args:
        text: The argument as the IR has it.
        inputs: The names of the component's inputs that have a value.
        outputs: The names of its output parameters.
        task: Whose argument it is, for errors.
        taken: The names of its input artifacts that are given.
        made: The names of its output artifacts.

    Returns:
        Its parts; joined they are the argument. Adjacent literals do not occur.

    Raises:
        InputError: It asks for something else than a parameter, or for one that does not exist.
    """
    parts = [part for part in PLACEHOLDER.split(text) if part]
    known = _Names(inputs, outputs, taken, made, task)
    return tuple(known.part(part) for part in parts) or ("",)


@dataclass(frozen=True, slots=True)
class _Names:
    """What a component's placeholders may ask for."""

    inputs: Collection[str]
    outputs: Collection[str]
    taken: Collection[str]
    made: Collection[str]
    task: str

    def part(self, part: str) -> Part:
        if OPENING not in part:
            return part
        if fact := FACT.fullmatch(part):
            return run_fact(fact[1], self.task)
        if found := PLACES.get(part):
            return found
        if match := INPUT.fullmatch(part):
            return InputRef(_known(match[1], self.inputs, "input", self.task))
        if match := OUTPUT.fullmatch(part):
            return OutputPath(_known(match[1], self.outputs, "output parameter", self.task))
        if match := ARTIFACT.fullmatch(part):
            made = match[1] == "outputs"
            names = self.made if made else self.taken
            return ArtifactPath(_known(match[2], names, "artifact", self.task), made)
        raise unsupported(self.task, f"the placeholder {part}")


def run_fact(name: str, task: str) -> RunFact | str:
    """Read what a placeholder asks to know of the run; the task's name is known already.

    Raises:
        InputError: Nobody but KFP knows it.
    """
    if name == "pipeline_task_name":
        return task
    try:
        return RunFact(name)
    except ValueError:
        raise unsupported(task, f"the placeholder {{{{$.{name}}}}}") from None


def parse_value(text: str, inputs: Mapping[str, Value], *, task: str) -> Value:
    """Read the text of an argument: an f-string of the pipeline holds placeholders.

    Args:
        text: As the IR has it.
        inputs: What the same task is given, by name, f-strings aside.
        task: Whose argument it is, for errors.

    Raises:
        InputError: It asks for something that is not given, or is no text.
    """
    parts: list[Value] = []
    for part in parse_piece(text, inputs=inputs, outputs=(), task=task):
        found = inputs[part.name] if isinstance(part, InputRef) else part
        if isinstance(found, str) and not isinstance(found, RunFact | ExecutorText):
            found = Constant(found)
        if not isinstance(found, WRITTEN):
            raise unsupported(task, f"the text {text}, which holds more than parameters")
        # One f-string within another, handed through a sub-pipeline, is one f-string.
        parts += found.parts if isinstance(found, Joined) else (found,)
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))


def _known(name: str, names: Collection[str], kind: str, task: str) -> str:
    if name in names:
        return name
    raise InputError(
        f"task {task!r} asks for the {kind} {name!r}, which its component does not have",
        fix=f"use one of: {', '.join(sorted(names)) or 'it has none'}",
    )
