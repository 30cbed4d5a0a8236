"""What a component that takes KFP's executor input has to be told: types, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coalmine.compiler.task import Artifact, Task

__all__ = ["spec_of"]


def spec_of(task: Task) -> dict[str, Any]:
    """Describe a task's inputs and outputs, the way ``bootstrap`` reads them."""
    return {
        "inputs": {item.name: item.type.value for item in task.inputs},
        "outputs": {item.name: item.type.value for item in task.outputs},
        "taken": _schemas(task.taken),
        "made": _schemas(task.made),
    }


def _schemas(artifacts: Iterable[Artifact]) -> dict[str, dict[str, str]]:
    return {
        item.name: {"schemaTitle": item.type, "schemaVersion": item.version} for item in artifacts
    }
