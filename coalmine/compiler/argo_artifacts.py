"""Artifacts on their way through an Argo workflow: out of tasks, into loops, into tasks.

Beside each goes a parameter with its description, where the task that makes it writes one. What
comes from around a loop is an input of the loop's template, as every other value is.

As in KFP, a component may leave an artifact without a file. Argo asks three times whether that is
allowed: of the output, of the argument and of the input.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from coalmine.compiler.argo_value import Names, name_of, ran
from coalmine.compiler.graph import Loop
from coalmine.compiler.levels import Levels
from coalmine.compiler.value import OneOf, TaskOutputRef, Value, references

__all__ = ["LoopArtifacts", "about_name", "about_tag", "artifact_source", "is_described"]


def about_name(name: str) -> str:
    """Name the parameter that describes an artifact of a task."""
    return f"{name}-about"


def is_described(value: Value, described: Collection[str]) -> bool:
    """Tell whether all tasks that an artifact may come from describe theirs."""
    return all(found.task in described for found in references(value))


def artifact_source(value: TaskOutputRef | OneOf, names: Names) -> dict[str, Any]:
    """Say where an artifact comes from: a task, the one of several that ran, around the loop."""
    return {**_source(value, names), "optional": True}


def _source(value: TaskOutputRef | OneOf, names: Names) -> dict[str, Any]:
    if not names.is_here(value):
        return {"from": f"{{{{inputs.artifacts.{name_of(value)}}}}}"}
    if isinstance(value, TaskOutputRef):
        return {"from": f"{{{{tasks.{value.task}.outputs.artifacts.{value.output}}}}}"}
    return {"fromExpression": _chosen(value, "artifacts", "")}


def about_tag(value: TaskOutputRef | OneOf, names: Names) -> str:
    """Put what is known of an artifact into a text."""
    if not names.is_here(value):
        return f"{{{{inputs.parameters.{_about_input(value)}}}}}"
    if isinstance(value, OneOf):
        return f"{{{{= {_chosen(value, 'parameters', about_name(''))} }}}}"
    return f"{{{{tasks.{value.task}.outputs.parameters.{about_name(value.output)}}}}}"


def _about_input(value: TaskOutputRef | OneOf) -> str:
    # Two dashes: with one it could be the name of a task's output "about".
    return f"{name_of(value)}--about"


def _chosen(value: OneOf, kind: str, suffix: str) -> str:
    found = [
        (one.task, f"tasks['{one.task}'].outputs.{kind}['{one.output}{suffix}']")
        for one in value.choices
    ]
    asked = "".join(f"{ran(task)} ? {source} : " for task, source in found[:-1])
    return f"{asked}{found[-1][1]}"


@dataclass(frozen=True, slots=True)
class LoopArtifacts:
    """What loops take of the artifacts around them.

    Attributes:
        levels: The graph, by levels.
        described: The tasks that describe their artifacts.
    """

    levels: Levels
    described: Collection[str]

    def inputs(self, loop: Loop) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write the inputs of a loop's template: parameters, artifacts."""
        found = self.levels.artifacts_in(loop)
        artifacts = [{"name": name_of(value), "optional": True} for value in found]
        return [{"name": _about_input(value)} for value in self._told(loop)], artifacts

    def arguments(
        self, loop: Loop, names: Names
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write what these inputs get from those at a level: parameters, artifacts."""
        about = [
            {"name": _about_input(value), "value": about_tag(value, names)}
            for value in self._told(loop)
        ]
        artifacts = [
            {"name": name_of(value), **artifact_source(value, names)}
            for value in self.levels.artifacts_in(loop)
        ]
        return about, artifacts

    def _told(self, loop: Loop) -> list[TaskOutputRef | OneOf]:
        found = self.levels.artifacts_in(loop)
        return [value for value in found if is_described(value, self.described)]
