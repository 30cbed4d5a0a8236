"""Notes what others are to be told, in the same transaction as what it tells of.

Where there is no sink nothing is noted, and nothing is paid for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, insert, select

from coalmine.engines.protocol import TaskStatus
from coalmine.events.happening import What, artifact_of
from coalmine.launcher.facts import Facts
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import OUTBOX, RELEASES, moment_text

__all__ = ["Before", "Changed", "Note", "Notes", "happened"]

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
class Changed:
    """A running release that was told more of.

    Attributes:
        release: Its id, service, name, pipeline, and version as it is known now.
        before: What was known before.
        tasks: Its run's tasks now.
        facts: What they tell.
        state: Where it is now.
    """

    release: Mapping[str, str]
    before: Before
    tasks: Sequence[TaskStatus]
    facts: Facts
    state: ReleaseState


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

    def recorded(self, connection: Connection, changes: Iterable[Changed], moment: str) -> None:
        """Note what changes of running releases came to, once they are written."""
        made = [
            (change.release["id"], note)
            for change in changes
            for note in self._made(connection, change)
        ]
        self.put(connection, moment, made)

    def _made(self, connection: Connection, change: Changed) -> list[Note]:
        release = change.release
        judges = self._judges(release["pipeline"])
        notes = happened(change.before, change.tasks, change.facts, judges)
        known = {name: text for name, text in asdict(change.facts).items() if text}
        known["version"] = release["version"]
        if any(note.what in OUTCOMES.values() for note in notes):
            known |= _served_before(connection, release)
        if change.state.ended:
            notes.append(Note(What(change.state.value)))
        return [Note(note.what, note.at, {**known, **(note.facts or {})}) for note in notes]


def _served_before(connection: Connection, row: Mapping[str, str]) -> dict[str, str]:
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
