"""How a run goes, written into the ledger over an open transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.launcher.facts import Facts
from coalmine.launcher.notes import Notes
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import RELEASES, TASKS, moment_text

__all__ = ["Told", "record_run"]


@dataclass(frozen=True, slots=True)
class Told:
    """What an engine tells of a run.

    Attributes:
        tasks: How its tasks go; none leaves those that are known.
        facts: What is known of the release.
        state: Where the release is.
        submitted: Whether the engine was seen to have the run.
    """

    tasks: tuple[TaskStatus, ...]
    facts: Facts
    state: ReleaseState
    submitted: bool = False


def record_run(
    connection: Connection, notes: Notes, release: tuple[str, str], told: Told, moment: str
) -> frozenset[str]:
    """Write it, unless the release has ended or is another launcher's.

    Args:
        connection: To write with.
        notes: What others are told of it.
        release: The release's id, and the launcher that writes.
        told: What is written.
        moment: When.

    Returns:
        The names of the tasks whose end was not noted before.
    """
    release_id, owner = release
    before = notes.before(connection, release_id)
    noted = _ended_tasks(connection, release_id) if told.tasks else frozenset()
    mine = (RELEASES.c.id == release_id, RELEASES.c.state == "running", RELEASES.c.owner == owner)
    change = update(RELEASES).where(*mine).values(**_values(told, moment))
    if not connection.execute(change).rowcount:
        return frozenset()
    if told.tasks:
        rows = [_task_row(release_id, position, task) for position, task in enumerate(told.tasks)]
        connection.execute(delete(TASKS).where(TASKS.c.release_id == release_id))
        connection.execute(insert(TASKS), rows)
    changed = (told.tasks, told.facts, told.state)
    notes.recorded(connection, release_id, before, changed, moment)
    return frozenset(task.name for task in told.tasks if task.state.ended) - noted


def _values(told: Told, moment: str) -> dict[str, object]:
    facts = asdict(told.facts).items()
    values: dict[str, object] = {k: value for k, value in facts if value or k == "reason"}
    values["state"] = told.state.value
    if told.state.ended:
        values["ended_at"] = moment
    if told.submitted:
        values["submitted_at"] = func.coalesce(RELEASES.c.submitted_at, moment)
    return values


def _ended_tasks(connection: Connection, release_id: str) -> frozenset[str]:
    query = select(TASKS.c.name, TASKS.c.state).where(TASKS.c.release_id == release_id)
    found = connection.execute(query)
    return frozenset(task.name for task in found if TaskState(task.state).ended)


def _task_row(release_id: str, position: int, task: TaskStatus) -> dict[str, object]:
    return {
        "release_id": release_id,
        "position": position,
        "name": task.name,
        "state": task.state.value,
        "attempts": task.attempts,
        "started_at": moment_text(task.started),
        "ended_at": moment_text(task.ended),
        "outputs": dict(task.outputs),
        "message": task.message,
    }
