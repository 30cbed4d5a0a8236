"""The one place that knows DBOS: a run is a workflow, a task is a step of it.

A workflow's steps are recorded in SQLite. After a crash the workflow is run again from its start:
recorded steps give what they gave, the step that was cut off is run again. The application's
version and the executor's id are pinned, because DBOS resumes only what bears the same ones.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_errors
from sqlalchemy.exc import SQLAlchemyError

from coalmine._base.errors import CoalmineError
from coalmine.engines.local.ended import Ended
from coalmine.engines.local.process import Interrupted
from coalmine.engines.local.runner import Durably
from coalmine.engines.protocol import TaskState

__all__ = ["ACTIVE", "DATABASE", "Body", "Durable", "database_url"]

Body = Callable[[str, Mapping[str, str], Durably], dict[str, Any]]
"""The work of a run, from its id, its parameters and a way to do a piece of it durably."""

logger = logging.getLogger(__name__)

DATABASE = "engine.db"
"""In the state folder."""
ACTIVE = {"PENDING", "ENQUEUED", "DELAYED"}
"""What DBOS says of runs that go on."""
_bodies: list[Body] = []
"""At most one: DBOS is one a process, and so is the engine."""


@DBOS.workflow(name="coalmine.run")
def _run(run_id: str, parameters: dict[str, str]) -> dict[str, Any]:
    if not _bodies:
        raise Interrupted
    return _bodies[-1](run_id, parameters, _durably)


def _durably(name: str, work: Callable[[], Ended]) -> Ended:
    def step() -> dict[str, Any]:
        ended = work()
        return {
            "state": ended.state.value,
            "outputs": dict(ended.outputs),
            "message": ended.message,
            **({"task": ended.task} if ended.task else {}),
        }

    try:
        recorded = DBOS.run_step({"name": name}, step)
    except SQLAlchemyError as error:
        # No result of the run: as one it would be recorded as the run's end, as soon as it can be.
        logger.warning("%s cannot be recorded, and the run stops here: %s", name, error)
        raise Interrupted from error
    state, task = TaskState(recorded["state"]), recorded.get("task", "")
    return Ended(state, recorded["outputs"], recorded["message"], task)


class Durable:
    """Starts runs so that they survive this process.

    Args:
        database: The SQLite file.
        body: What a run does.
    """

    def __init__(self, database: Path, body: Body) -> None:
        self._database = database
        self._body = body

    def open(self) -> None:
        """Resume every run that had not ended, and be ready for more.

        Raises:
            CoalmineError: The database cannot be used, or this process has an engine already.
        """
        if _bodies:
            raise CoalmineError("this process has a local engine already")
        log = logging.getLogger("dbos")
        log.addHandler(logging.NullHandler())  # else DBOS adds its own, and keeps its words from us
        _bodies.append(self._body)
        try:
            with _as_coalmine_error(self._database):
                DBOS(
                    config=DBOSConfig(
                        name="coalmine",
                        system_database_url=database_url(self._database),
                        application_version="1",
                        executor_id="coalmine",
                        log_level="WARNING",
                        enable_otlp=False,
                    )
                )
                DBOS.launch()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database; what has not ended is resumed when it is opened again."""
        DBOS.destroy()
        _bodies.clear()

    def start(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Start a run, unless there is one of this id."""
        with _as_coalmine_error(self._database), SetWorkflowID(run_id):
            DBOS.start_workflow(_run, run_id, dict(parameters))

    def begun(self) -> set[str]:
        """List the runs that have begun and not ended, by the record."""
        with _as_coalmine_error(self._database):
            found = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {one.workflow_id for one in found}

    def resume(self, run_id: str) -> None:
        """Give a run that has not ended a new life; a life that it still has stops by itself."""
        with _as_coalmine_error(self._database):
            DBOS.resume_workflow(run_id)

    def look(self, run_id: str) -> tuple[str, dict[str, Any] | None]:
        """Tell where a run is: unknown, active, ended (with its result) or broken (with why)."""
        with _as_coalmine_error(self._database):
            status = DBOS.get_workflow_status(run_id)
        if status is None:
            return "unknown", None
        if status.status in ACTIVE:
            return "active", None
        if status.status == "SUCCESS":
            return "ended", status.output
        return "broken", {"message": f"{status.status}: {status.error or 'no reason given'}"}


def database_url(database: Path) -> str:
    """Give the URL of the record, whatever characters its path has."""
    # Quoted: a path may hold what a URL takes for its own: '?', '#', '%'.
    return f"sqlite:///{quote(str(database))}"


@contextlib.contextmanager
def _as_coalmine_error(database: Path) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, dbos_errors.DBOSException, OSError) as error:
        raise CoalmineError(
            f"the engine's database {database} cannot be used: {error}",
            fix="see that its folder can be written and its disk is not full",
        ) from error
