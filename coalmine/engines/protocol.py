"""What every engine can do: take a run, tell how it goes, stop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from coalmine._base.errors import CoalmineError

__all__ = ["BusyError", "Engine", "RunRequest", "RunState", "RunStatus", "TaskState", "TaskStatus"]


class BusyError(CoalmineError):
    """The engine has too much to do now; nothing was begun.

    Args:
        message: What it said.
        retry_after: Seconds that it asks to wait.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TaskState(StrEnum):
    """Where one task is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen to it."""
        return self not in {TaskState.PENDING, TaskState.RUNNING}


class RunState(StrEnum):
    """Where a run is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will happen to it."""
        return self not in {RunState.PENDING, RunState.RUNNING}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run to make.

    Attributes:
        run_id: Chosen by the caller. The same id is the same run, however often it is submitted.
        pipeline: The pipeline's KFP IR file.
        parameters: Every value as a string, by the pipeline's parameter names.
    """

    run_id: str
    pipeline: Path
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task of a run.

    Attributes:
        name: The task's name in the graph.
        state: Where it is.
        attempts: Tries begun so far.
        started: When the first try began; UTC.
        ended: When it came to its end; UTC.
        outputs: Its output parameters, once it has succeeded.
        message: Why it failed or was skipped, in one sentence for the user; else empty.
    """

    name: str
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run as its engine sees it now.

    Attributes:
        run_id: The id it was submitted with.
        state: Where it is.
        tasks: In the graph's order, the exit task last.
        message: Why it failed, in one sentence for the user; else empty.
        outputs: What the pipeline as a whole gave, once it has ended.
        at_the_end: The names of the tasks that run whatever became of the others.
    """

    run_id: str
    state: RunState
    tasks: tuple[TaskStatus, ...] = ()
    message: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    at_the_end: frozenset[str] = frozenset()


class Engine(Protocol):
    """Where runs execute."""

    @property
    def name(self) -> str:
        """The engine's word on the command line: ``local``, ``kfp``, ``tekton`` or ``argo``."""

    @property
    def portable(self) -> bool:
        """Whether a launcher on another machine can follow a run, and submit it again."""

    def submit(self, request: RunRequest) -> None:
        """Begin a run, durably; a run id that is known already is left as it is.

        Raises:
            InputError: The pipeline or a parameter is wrong; nothing was begun.
            CoalmineError: The engine could not be reached; try again.
        """

    def status(self, run_id: str) -> RunStatus | None:
        """Tell how a run goes; None if the engine has never heard of it."""

    def cancel(self, run_id: str) -> None:
        """Ask a run to end, durably. Its exit task still runs. An ended run is left as it is.

        A run that is yet to be submitted ends as soon as it is.

        Raises:
            CoalmineError: The engine could not be reached; try again.
        """

    def logs(self, run_id: str, task: str, start: int = 0) -> bytes:
        """Give what a task has written so far, in UTF-8, from a byte on.

        Empty if it has written no more, or has not begun.

        Raises:
            CoalmineError: Its log is gone or not to be had here, or the engine could not be
                reached; the message says which.
        """
