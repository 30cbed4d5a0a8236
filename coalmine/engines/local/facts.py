"""What a run knows of itself, kept among its parameters."""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.compiler.task import Task
from coalmine.compiler.value import RunFact

__all__ = ["fact", "facts_of", "with_task"]


def fact(name: RunFact) -> str:
    """Name the place of a fact among the parameters, where no parameter can be."""
    return f"{{{{$.{name}}}}}"


def facts_of(run_id: str) -> dict[str, str]:
    """Tell what KFP's placeholders know of a run."""
    names = set(RunFact) - {RunFact.TASK_ID}
    return {fact(name): run_id for name in names}


def with_task(parameters: Mapping[str, str], task: Task) -> dict[str, str]:
    """Add what is known of a task."""
    job = parameters.get(fact(RunFact.JOB_ID), "")
    return {**parameters, fact(RunFact.TASK_ID): f"{job}-{task.name}"}
