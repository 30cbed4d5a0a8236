"""How a value is said in Argo: a tag in a text, a name in an expression."""

from __future__ import annotations

from coalmine.compiler.graph import OneOf, ParameterRef, TaskOutputRef

__all__ = ["ran", "source", "tag"]


def source(value: ParameterRef | TaskOutputRef | OneOf) -> str:
    """Name a value within an expression."""
    match value:
        case ParameterRef(name):
            return f"inputs.parameters['{name}']"
        case TaskOutputRef(task, output):
            return f"tasks['{task}'].outputs.parameters['{output}']"
        case OneOf(choices):
            # Only what is chosen is looked at: the rest was never written.
            *others, last = choices
            chosen = "".join(f"{ran(choice.task)} ? {source(choice)} : " for choice in others)
            return f"({chosen}{source(last)})"


def ran(task: str) -> str:
    """Ask within an expression whether a task has succeeded."""
    return f"tasks['{task}'].status == 'Succeeded'"


def tag(value: ParameterRef | TaskOutputRef | OneOf) -> str:
    """Put a value into a text."""
    match value:
        case ParameterRef(name):
            return f"{{{{workflow.parameters.{name}}}}}"
        case TaskOutputRef(task, output):
            return f"{{{{tasks.{task}.outputs.parameters.{output}}}}}"
        case OneOf():
            return f"{{{{= {source(value)} }}}}"
