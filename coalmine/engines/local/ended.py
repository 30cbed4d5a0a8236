"""How tasks have ended, and what the run comes to by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from coalmine.engines.protocol import RunState, TaskState

__all__ = ["Ended", "run_state", "written_by"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task came to its end.

    Attributes:
        state: How.
        outputs: What it has written.
        message: Why, if it is no success.
        task: Its name, where it is not known otherwise.
    """

    state: TaskState
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    task: str = ""


def written_by(ended: Mapping[str, Ended], task: str) -> Mapping[str, str]:
    """Give what a task has written so far."""
    return ended[task].outputs if task in ended else {}


def run_state(ended: Iterable[Ended]) -> RunState:
    """Tell what a run came to once all of its tasks, and its exit task, have ended."""
    states = {one.state for one in ended}
    if TaskState.CANCELLED in states:
        return RunState.CANCELLED
    return RunState.FAILED if TaskState.FAILED in states else RunState.SUCCEEDED
