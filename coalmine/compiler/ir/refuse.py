"""Refuse by name: the task, the feature and the place in the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from coalmine._base.errors import InputError

__all__ = ["PlacedError", "check", "unsupported", "within"]

M = TypeVar("M", bound=BaseModel)

FEATURES = {
    "artifactIterator": "a loop over artifacts (dsl.ParallelFor)",
    "customJob": "a custom job",
    "genericEphemeralVolume": "an ephemeral volume of kfp-kubernetes",
    "isArtifactList": "a list of artifacts (dsl.Collected)",
    "lifecycle": "a container lifecycle hook",
    "literals": "a parameter limited to literals",
    "nodeAffinity": "a Kubernetes node affinity",
    "pipelineConfig": "settings of the whole pipeline (dsl.PipelineConfig)",
    "resolver": "a resolver",
}


class PlacedError(InputError):
    """Something in the file is wrong, and it is known where.

    Args:
        message: What is wrong.
        place: The last keys on the way to it.
        fix: What to do.
    """

    def __init__(self, message: str, *, place: tuple[str, ...], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.place = place


@contextmanager
def within(task: str) -> Iterator[None]:
    """Let errors that know no place of their own point to the task they come from."""
    try:
        yield
    except PlacedError:
        raise
    except InputError as error:
        raise PlacedError(error.message, place=("tasks", task), fix=error.fix) from None


def unsupported(task: str, feature: str, *, fix: str = "") -> InputError:
    """Make the error for something that KFP can do and this version of Coalmine cannot."""
    where = f"task {task!r}" if task else "the pipeline"
    return PlacedError(
        f"{where} uses {feature}, which this version of Coalmine cannot run",
        place=("tasks", task) if task else (),
        fix=fix
        or "pass values between container components as parameters; "
        "docs/compile-targets.md lists what is supported",
    )


def check(model: type[M], data: object, *, place: str, task: str = "") -> M:
    """Read plain data as one of the models.

    Args:
        model: What it should be.
        data: As YAML gave it.
        place: Where in the file it stands, dotted.
        task: The task it belongs to, if that is known.

    Raises:
        InputError: A field is unknown, missing or of the wrong type; names the place.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error, place, task) from None


def _explain(error: ValidationError, place: str, task: str) -> PlacedError:
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    steps = [str(step) for step in first["loc"]]
    if "tasks" in steps[:-1]:
        task = steps[steps.index("tasks") + 1]
    keys = tuple(part for part in (*place.split("."), *steps) if part)
    path = ".".join(keys)
    if first["type"] == "extra_forbidden":
        known = next((FEATURES[step] for step in reversed(steps) if step in FEATURES), "")
        refused = unsupported(task, f"{known} ({path})" if known else f"the field {path}")
        return PlacedError(refused.message, place=keys, fix=refused.fix)
    of_task = f" (task {task!r})" if task else ""
    problem = "is missing" if first["type"] == "missing" else f"is wrong: {first['msg']}"
    return PlacedError(
        f"{path} {problem}{of_task}", place=keys, fix="compile the pipeline again with the KFP SDK"
    )
