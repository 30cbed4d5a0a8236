"""The placeholders in a container's command line: ``{{$.inputs.parameters['x']}}`` and the like."""

from __future__ import annotations

import re
from collections.abc import Collection

from coalmine._base.errors import InputError
from coalmine.compiler.graph import InputRef, OutputPath, Piece
from coalmine.compiler.ir.refuse import unsupported

__all__ = ["has_placeholder", "parse_piece"]

PLACEHOLDER = re.compile(r"(\{\{\$.*?\}\})", re.DOTALL)
INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
OUTPUT = re.compile(r"\{\{\$\.outputs\.parameters\['([^']+)'\]\.output_file\}\}")
OPENING = "{{$"


def has_placeholder(text: str) -> bool:
    """Tell whether KFP would replace something in a text."""
    return OPENING in text


def parse_piece(
    text: str, *, inputs: Collection[str], outputs: Collection[str], task: str
) -> Piece:
    """Split one argument into literal text, inputs and output paths.

    Args:
        text: The argument as the IR has it.
        inputs: The names of the component's inputs that have a value.
        outputs: The names of its output parameters.
        task: Whose argument it is, for errors.

    Returns:
        Its parts; joined they are the argument. Adjacent literals do not occur.

    Raises:
        InputError: It asks for something else than a parameter, or for one that does not exist.
    """
    parts = [part for part in PLACEHOLDER.split(text) if part]
    return tuple(_part(part, inputs, outputs, task) for part in parts) or ("",)


def _part(
    part: str, inputs: Collection[str], outputs: Collection[str], task: str
) -> str | InputRef | OutputPath:
    if OPENING not in part:
        return part
    if match := INPUT.fullmatch(part):
        return InputRef(_known(match[1], inputs, "input", task))
    if match := OUTPUT.fullmatch(part):
        return OutputPath(_known(match[1], outputs, "output parameter", task))
    if part == "{{$}}":
        raise unsupported(
            task,
            "a Python function component (the KFP executor input {{$}})",
            fix="make it a container component: @dsl.container_component or a component.yaml",
        )
    raise unsupported(task, f"the placeholder {part}")


def _known(name: str, names: Collection[str], kind: str, task: str) -> str:
    if name in names:
        return name
    raise InputError(
        f"task {task!r} asks for the {kind} {name!r}, which its component does not have",
        fix=f"use one of: {', '.join(sorted(names)) or 'it has none'}",
    )
