"""What a run has done so far, for those who watch and for the run itself after a crash.

DBOS tells of a step once it has ended. A running task's start, its tries and its failures stand
here: in memory while the run goes on, and in a file that is whole at any moment.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from coalmine._base.files import write_atomic
from coalmine.compiler.graph import Graph
from coalmine.engines.local.ended import Ended
from coalmine.engines.protocol import RunState, RunStatus, TaskState, TaskStatus

__all__ = ["Clock", "Journal", "Page", "first_page", "page_for", "read_page", "status_of"]

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Page:
    """A run's state as it is written down.

    Attributes:
        run: The run and its tasks.
        failures: Tries that failed, by task; a try that a crash cut off is none of them.
        planned: The names of the tasks before any loop was undone.
    """

    run: RunStatus
    failures: Mapping[str, int] = field(default_factory=dict)
    planned: tuple[str, ...] = ()


def first_page(run_id: str, graph: Graph) -> Page:
    """Make the page of a run that has not begun."""
    last = (graph.exit_task.name,) if graph.exit_task else ()
    names = (*(task.name for task in graph.tasks), *last)
    tasks = tuple(TaskStatus(name) for name in names)
    run = RunStatus(run_id, RunState.PENDING, tasks, at_the_end=frozenset(last))
    return Page(run, planned=names)


class Journal:
    """Keeps one run's page, and writes every change through to its file.

    A change that cannot be written (the disk is full) is kept in memory and told to the log: the
    run itself does not depend on it. Tasks that run side by side may call it at the same time.
    """

    def __init__(self, path: Path, page: Page, clock: Clock) -> None:
        self._path = path
        self._page = page
        self._clock = clock
        self._lock = threading.RLock()

    @property
    def page(self) -> Page:
        """The page as it is now."""
        return self._page

    def task(self, name: str) -> TaskStatus:
        """Give one task's status."""
        return next(task for task in self._page.run.tasks if task.name == name)

    def tasks_are(self, names: Sequence[str]) -> None:
        """Note which tasks there are, now that a loop is undone; what is known of them is kept."""
        with self._lock:
            known = {task.name: task for task in self._page.run.tasks}
            tasks = tuple(known.get(name) or TaskStatus(name) for name in names)
            self._turn(replace(self._page, run=replace(self._page.run, tasks=tasks)))

    def begin_try(self, name: str) -> int:
        """Note that a try begins; gives its number, from 1 on, never one that was used before."""
        task = self.task(name)
        attempt = task.attempts + 1
        started = task.started or self._clock()
        self._put(replace(task, state=TaskState.RUNNING, attempts=attempt, started=started))
        return attempt

    def fail_try(self, name: str) -> int:
        """Note that a try failed; gives how many have."""
        with self._lock:
            failures = self._page.failures.get(name, 0) + 1
            self._turn(replace(self._page, failures={**self._page.failures, name: failures}))
        return failures

    def end(self, name: str, ended: Ended) -> None:
        """Note how a task came to its end."""
        self._put(
            replace(
                self.task(name),
                state=ended.state,
                ended=self._clock(),
                outputs=dict(ended.outputs),
                message=ended.message,
            )
        )

    def run_is(
        self, state: RunState, message: str = "", outputs: Mapping[str, str] | None = None
    ) -> None:
        """Note where the run is."""
        with self._lock:
            run = replace(self._page.run, state=state, message=message, outputs=outputs or {})
            self._turn(replace(self._page, run=run))

    def _put(self, changed: TaskStatus) -> None:
        with self._lock:
            tasks = tuple(
                changed if task.name == changed.name else task for task in self._page.run.tasks
            )
            self._turn(replace(self._page, run=replace(self._page.run, tasks=tasks)))

    def _turn(self, page: Page) -> None:
        """Turn to the next page; the lock is held."""
        self._page = page
        try:
            write_atomic(self._path, json.dumps(page_to_json(page), indent=1))
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error)


def read_page(path: Path) -> Page | None:
    """Read a page from its file; None if there is none, or none that can be read.

    A page that cannot be read is no loss: what has ended is on record, and the rest is run again.
    """
    try:
        return page_from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read and is made anew: %r", path, error)
        return None


def page_for(path: Path, run_id: str, graph: Graph) -> Page:
    """Read a run's page, or make a new one if none can be read or it is of another graph."""
    first, found = first_page(run_id, graph), read_page(path)
    if found and found.planned == first.planned:
        return found
    return first


def status_of(content: Mapping[str, Any]) -> RunStatus:
    """Read a run's status from a page in its JSON form."""
    return page_from_json(content).run


def page_to_json(page: Page) -> dict[str, Any]:
    """Give a page the form in which it is stored."""
    run = page.run
    return {
        "run_id": run.run_id,
        "state": run.state.value,
        "message": run.message,
        "outputs": dict(run.outputs),
        "failures": dict(page.failures),
        "planned": list(page.planned),
        "at_the_end": sorted(run.at_the_end),
        "tasks": [_task_to_json(task) for task in run.tasks],
    }


def page_from_json(content: Mapping[str, Any]) -> Page:
    """Read a page from the form in which it is stored."""
    run = RunStatus(
        run_id=content["run_id"],
        state=RunState(content["state"]),
        tasks=tuple(_task_from_json(task) for task in content["tasks"]),
        message=content["message"],
        outputs=content["outputs"],
        at_the_end=frozenset(content.get("at_the_end", ())),
    )
    return Page(run, content["failures"], tuple(content.get("planned", ())))


def _task_to_json(task: TaskStatus) -> dict[str, Any]:
    return {
        "name": task.name,
        "state": task.state.value,
        "attempts": task.attempts,
        "started": task.started.isoformat() if task.started else None,
        "ended": task.ended.isoformat() if task.ended else None,
        "outputs": dict(task.outputs),
        "message": task.message,
    }


def _task_from_json(content: Mapping[str, Any]) -> TaskStatus:
    return TaskStatus(
        name=content["name"],
        state=TaskState(content["state"]),
        attempts=content["attempts"],
        started=_moment(content["started"]),
        ended=_moment(content["ended"]),
        outputs=content["outputs"],
        message=content["message"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
