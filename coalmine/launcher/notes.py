"""Notes what others are to be told, in the same transaction as what it tells of.

Where there is no sink nothing is noted, and nothing is paid for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from coalmine.engines.protocol import TaskStatus
from coalmine.events.happening import What, artifact_of
from coalmine.launcher.facts import Facts
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import OUTBOX, RELEASES, TASKS, moment_text

__all__ = ["Before", "Note", "Notes", "happened"]

OUTCOMES = {
    "promoted": What.SERVED,
    "rolled_back": What.WITHDRAWN,
    "removed": What.REMOVED,
}


ATTEMPT = select(RELEASES.c.attempt).where(RELEASES.c.id == bindparam("of_release"))
PUT = insert(OUTBOX).values(attempt=ATTEMPT.scalar_subquery())


@dataclass(frozen=True, slots=True)
class Before:
    """What the ledger had of a running release before it was told more.

    Attributes:
        image_digest: Of its image.
        outcome: What it had come to.
        begun: The names of its tasks that had begun.
        ended: The names of its tasks that had ended.
    """

    image_digest: str = ""
    outcome: str = ""
    begun: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened.

    Attributes:
        what: What.
        at: When, as the tables have it; empty for the moment of the commit.
        facts: What is known besides that which the ledger knows.
    """

    what: What
    at: str = ""
    facts: Mapping[str, str] | None = None


def happened(
    before: Before, tasks: Sequence[TaskStatus], facts: Facts, judges: Collection[str]
) -> list[Note]:
    """Find what is new in what an engine tells of a run, its end apart. Pure.

    Args:
        before: What was known.
        tasks: The run's tasks now.
        facts: What they tell.
        judges: The names of the tasks that give a verdict.
    """
    notes = []
    if facts.image_digest and not before.image_digest:
        notes.append(Note(What.BUILT, _end_of(tasks, "image_digest")))
    for task in tasks:
        if (task.name in judges or "verdict" in task.outputs) and task.started:
            notes += _judged(before, task)
    outcome = OUTCOMES.get(facts.outcome)
    if outcome and facts.outcome != before.outcome:
        notes.append(Note(outcome, _end_of(tasks, "outcome"), _first(tasks)))
    return notes


def _judged(before: Before, task: TaskStatus) -> list[Note]:
    suite = {"suite": task.name}
    notes = []
    if task.name not in before.begun:
        notes.append(Note(What.JUDGING, moment_text(task.started) or "", suite))
    if task.state.ended and task.name not in before.ended:
        said = {**suite, "verdict": task.outputs.get("verdict", "")}
        said["reason"] = task.outputs.get("reason", "") or task.message
        notes.append(Note(What.JUDGED, moment_text(task.ended) or "", said))
    return notes


def _end_of(tasks: Iterable[TaskStatus], output: str) -> str:
    ended = [task.ended for task in tasks if task.outputs.get(output) and task.ended]
    return moment_text(max(ended)) or "" if ended else ""


def _first(tasks: Iterable[TaskStatus]) -> dict[str, str]:
    """Tell whether the service had no version before, if a task says so."""
    said = [task.outputs["stable"] for task in tasks if "stable" in task.outputs]
    return {"first": "no" if said[-1] else "yes"} if said else {}


class Notes:
    """Writes notes for every sink.

    Args:
        sinks: The names of the sinks.
        judges: Gives the names of a pipeline's tasks that give a verdict.
        on_noted: Called when there may be something new, on disk already.
    """

    def __init__(
        self,
        sinks: Sequence[str] = (),
        judges: Callable[[str], Collection[str]] = lambda _: (),
        on_noted: Callable[[], None] = lambda: None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._judges = judges
        self._on_noted = on_noted

    def __bool__(self) -> bool:
        """Tell whether there is anybody to tell."""
        return bool(self._sinks)

    def wake(self) -> None:
        """Say that what was put is on disk."""
        if self._sinks:
            self._on_noted()

    def put(
        self,
        connection: Connection,
        moment: str,
        notes: Iterable[tuple[str, Note]],
    ) -> None:
        """Write what happened with releases, by their ids, in order."""
        rows = [
            {
                "sink": sink,
                "release_id": release_id,
                "of_release": release_id,
                "what": note.what.value,
                "at": note.at or moment,
                "facts": {name: text for name, text in (note.facts or {}).items() if text},
            }
            for release_id, note in notes
            for sink in self._sinks
        ]
        if rows:
            connection.execute(PUT, rows)

    def before(self, connection: Connection, release_id: str) -> Before:
        """Read what is known of a release, before it is changed."""
        if not self._sinks:
            return Before()
        found = connection.execute(select(RELEASES).where(RELEASES.c.id == release_id)).mappings()
        row = found.first() or {"image_digest": "", "outcome": ""}
        query = select(TASKS.c.name, TASKS.c.started_at, TASKS.c.ended_at)
        tasks = connection.execute(query.where(TASKS.c.release_id == release_id)).all()
        return Before(
            row["image_digest"],
            row["outcome"],
            frozenset(task.name for task in tasks if task.started_at),
            frozenset(task.name for task in tasks if task.ended_at),
        )

    def recorded(
        self,
        connection: Connection,
        release_id: str,
        before: Before,
        told: tuple[tuple[TaskStatus, ...], Facts, ReleaseState],
        moment: str,
    ) -> None:
        """Note what a change of a running release came to, once it is written."""
        if not self._sinks:
            return
        tasks, facts, state = told
        query = select(RELEASES).where(RELEASES.c.id == release_id)
        row = connection.execute(query).mappings().one()
        notes = happened(before, tasks, facts, self._judges(row["pipeline"]))
        known = {name: text for name, text in asdict(facts).items() if text}
        known["version"] = row["version"]
        if any(note.what in OUTCOMES.values() for note in notes):
            known |= _served_before(connection, row)
        if state.ended:
            notes.append(Note(What(state.value)))
        made = [Note(note.what, note.at, {**known, **(note.facts or {})}) for note in notes]
        self.put(connection, moment, [(release_id, note) for note in made])


def _served_before(connection: Connection, row: Mapping[Any, Any]) -> dict[str, str]:
    query = select(RELEASES).where(
        RELEASES.c.service == row["service"],
        RELEASES.c.state == ReleaseState.PROMOTED.value,
        RELEASES.c.id != row["id"],
    )
    found = connection.execute(query.order_by(RELEASES.c.seq.desc()).limit(1)).mappings().first()
    if found is None:
        return {"first": "yes"}
    artifact = artifact_of(found["name"], found["version"], found["image_digest"])
    return {"first": "no", "before": artifact}
