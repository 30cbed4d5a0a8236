"""How runs go, written into the ledger over an open transaction: many in few statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from coalmine.engines.protocol import TaskState, TaskStatus
from coalmine.launcher.facts import Facts
from coalmine.launcher.notes import Before, Changed, Notes
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.storable import storable_facts, storable_task
from coalmine.launcher.tables import RELEASES, TASKS, moment_text

__all__ = ["Told", "record_runs"]

KNOWN = [
    RELEASES.c[name]
    for name in (
        "id", "service", "name", "pipeline", "version", "verdict", "image_digest", "outcome",
        "submitted_at",
    )
]  # fmt: skip
WRITTEN = (
    "version", "image_digest", "verdict", "reason", "outcome", "state", "ended_at", "submitted_at",
)  # fmt: skip
CHANGE = (
    update(RELEASES)
    .where(RELEASES.c.id == bindparam("of_release"))
    .values({name: bindparam(f"new_{name}") for name in WRITTEN})
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an engine tells of a run.

    Attributes:
        tasks: How its tasks go; none leaves those that are known.
        facts: What is known of the release.
        state: Where the release is.
        submitted: Whether the engine was seen to have the run.
    """

    tasks: tuple[TaskStatus, ...] = ()
    facts: Facts = field(default_factory=Facts)
    state: ReleaseState = ReleaseState.RUNNING
    submitted: bool = False


def record_runs(
    connection: Connection, notes: Notes, owner: str, told: Mapping[str, Told], moment: str
) -> dict[str, frozenset[str]]:
    """Write how releases go, but for those that have ended or are another launcher's.

    Args:
        connection: To write with.
        notes: What others are told of it.
        owner: The launcher that writes.
        told: What is written, by the releases' ids.
        moment: When.

    Returns:
        For each release that was written the names of the tasks whose end was not noted before.
    """
    mine = (RELEASES.c.id.in_(list(told)), RELEASES.c.state == "running", RELEASES.c.owner == owner)
    query = select(*KNOWN).where(*mine).order_by(RELEASES.c.seq).with_for_update()
    rows = connection.execute(query).mappings().all()
    if not rows:
        return {}
    told = {row["id"]: _storable(told[row["id"]]) for row in rows}
    with_tasks = [row["id"] for row in rows if told[row["id"]].tasks]
    noted = _noted(connection, with_tasks)
    connection.execute(CHANGE, [_values(row, told[row["id"]], moment) for row in rows])
    _write_tasks(connection, told, with_tasks)
    if notes:
        changed = [_changed(row, told[row["id"]], noted.get(row["id"], ())) for row in rows]
        notes.recorded(connection, changed, moment)
    return {
        row["id"]: _ended(told[row["id"]].tasks) - _ended_before(noted.get(row["id"], ()))
        for row in rows
    }


def _storable(told: Told) -> Told:
    tasks = tuple(storable_task(task) for task in told.tasks)
    return replace(told, tasks=tasks, facts=storable_facts(told.facts))


def _values(row: RowMapping, told: Told, moment: str) -> dict[str, object]:
    """Give every column that may change: one statement is for all."""
    values: dict[str, object] = {
        name: text or row[name] for name, text in asdict(told.facts).items() if name != "reason"
    }
    values["reason"] = told.facts.reason
    values["state"] = told.state.value
    values["ended_at"] = moment if told.state.ended else None
    values["submitted_at"] = row["submitted_at"] or (moment if told.submitted else None)
    return {"of_release": row["id"], **{f"new_{name}": value for name, value in values.items()}}


def _noted(connection: Connection, releases: Sequence[str]) -> dict[str, list[RowMapping]]:
    """Read what was noted of the tasks of releases."""
    found: dict[str, list[RowMapping]] = {}
    if releases:
        columns = [TASKS.c[name] for name in ("release_id", "name", "state", "started_at")]
        query = select(*columns, TASKS.c.ended_at).where(TASKS.c.release_id.in_(releases))
        for task in connection.execute(query).mappings():
            found.setdefault(task["release_id"], []).append(task)
    return found


def _write_tasks(connection: Connection, told: Mapping[str, Told], releases: Sequence[str]) -> None:
    if not releases:
        return
    connection.execute(delete(TASKS).where(TASKS.c.release_id.in_(releases)))
    rows = [
        _task_row(release_id, position, task)
        for release_id in releases
        for position, task in enumerate(told[release_id].tasks)
    ]
    connection.execute(insert(TASKS), rows)


def _changed(row: RowMapping, told: Told, noted: Iterable[Mapping[Any, Any]]) -> Changed:
    before = Before(
        row["image_digest"],
        row["outcome"],
        frozenset(task["name"] for task in noted if task["started_at"]),
        frozenset(task["name"] for task in noted if task["ended_at"]),
    )
    version = told.facts.version or row["version"]
    release = {name: row[name] for name in ("id", "service", "name", "pipeline")}
    return Changed({**release, "version": version}, before, told.tasks, told.facts, told.state)


def _ended(tasks: Iterable[TaskStatus]) -> frozenset[str]:
    return frozenset(task.name for task in tasks if task.state.ended)


def _ended_before(noted: Iterable[Mapping[Any, Any]]) -> frozenset[str]:
    return frozenset(task["name"] for task in noted if TaskState(task["state"]).ended)


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
