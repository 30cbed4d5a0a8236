"""What is still to be told, as the ledger keeps it until a sink has taken it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, select

from coalmine.events.happening import Happening, What
from coalmine.launcher.database import Database
from coalmine.launcher.tables import DEAD_LETTERS, OUTBOX, RELEASES

__all__ = ["PAGE", "Entry", "Outbox", "Waiting", "revive", "select_waiting"]

PAGE = 500
EVENT = ("source", "id", "type")
NOTE = ("seq", "what", "at", "facts", "attempt")
MOVED = ("seq", "sink", "release_id", "what", "at", "facts", "attempt")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to tell.

    Attributes:
        seq: Its place in the order.
        happening: The thing.
    """

    seq: int
    happening: Happening


@dataclass(frozen=True, slots=True)
class Waiting:
    """What one sink has yet to take.

    Attributes:
        sink: Its name.
        count: The number of things.
        since: When the oldest of them happened; RFC 3339, empty if there is none.
        dead: The number of things that it is offered no more.
    """

    sink: str
    count: int = 0
    since: str = ""
    dead: int = 0

    def age(self, now: datetime) -> float:
        """Give the seconds for which the oldest has waited."""
        if not self.since:
            return 0.0
        return max(0.0, (now - datetime.fromisoformat(self.since).astimezone(UTC)).total_seconds())


def select_waiting(connection: Connection) -> list[Waiting]:
    """Read what each sink has yet to take, over an open connection."""
    query = select(OUTBOX.c.sink, func.count(), func.min(OUTBOX.c.at)).group_by(OUTBOX.c.sink)
    found = {row[0]: Waiting(*row) for row in connection.execute(query)}
    aside = select(DEAD_LETTERS.c.sink, func.count()).group_by(DEAD_LETTERS.c.sink)
    for sink, dead in connection.execute(aside):
        found[sink] = replace(found.get(sink, Waiting(sink)), dead=dead)
    return sorted(found.values(), key=lambda one: one.sink)


def revive(connection: Connection, sink: str) -> int:
    """Put what was put aside for a sink back in its place; gives the number of things."""
    columns = [DEAD_LETTERS.c[name] for name in MOVED]
    chosen = select(*columns).where(DEAD_LETTERS.c.sink == sink)
    connection.execute(insert(OUTBOX).from_select(MOVED, chosen))
    return connection.execute(delete(DEAD_LETTERS).where(DEAD_LETTERS.c.sink == sink)).rowcount


class Outbox:
    """The notes of one sink.

    Args:
        database: Where they are kept.
        sink: Its name.
        base_url: Under which releases can be read.
    """

    def __init__(self, database: Database, sink: str, base_url: str) -> None:
        self._database = database
        self._sink = sink
        self._base = base_url.rstrip("/")

    def alone(self) -> contextlib.AbstractContextManager[bool]:
        """Try to be the only one that sends to this sink; tells whether that is so."""
        return self._database.alone(f"outbox {self._sink}")

    def page(self, after: int) -> list[Entry]:
        """Read the next notes in order, at most so many that they take little memory."""
        query = (
            select(*(OUTBOX.c[name] for name in NOTE), RELEASES)
            .join(RELEASES, OUTBOX.c.release_id == RELEASES.c.id)
            .where(OUTBOX.c.sink == self._sink, OUTBOX.c.seq > after)
            .order_by(OUTBOX.c.seq)
            .limit(PAGE)
        )
        # The columns are told apart by their places: both tables have a seq.
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        names = [column.name for column in RELEASES.columns]
        return [self._entry(row, dict(zip(names, row[len(NOTE) :], strict=True))) for row in rows]

    def remove(self, taken: Collection[int]) -> None:
        """Forget notes that were taken."""
        if taken:
            with self._database.writing() as connection:
                connection.execute(delete(OUTBOX).where(OUTBOX.c.seq.in_(taken)))

    def bury(self, before: str, error: str, release_id: str = "") -> int:
        """Put aside what happened before a moment.

        Args:
            before: The moment, as the tables have it.
            error: Why it was not taken.
            release_id: What happened with this release alone; with all unless given.

        Returns:
            The number of things.
        """
        old = [OUTBOX.c.sink == self._sink, OUTBOX.c.at < before]
        old += [OUTBOX.c.release_id == release_id] if release_id else []
        chosen = select(*(OUTBOX.c[name] for name in MOVED), literal(error)).where(*old)
        with self._database.writing() as connection:
            aside = insert(DEAD_LETTERS).from_select([*MOVED, "error"], chosen)
            connection.execute(aside)
            return connection.execute(delete(OUTBOX).where(*old)).rowcount

    def _entry(self, note: Any, release: Mapping[str, Any]) -> Entry:  # noqa: ANN401 - a row
        seq, what, at, facts, attempt = note[: len(NOTE)]
        happening = Happening(
            what=What(what),
            at=at,
            release_id=release["id"],
            service=release["service"],
            name=release["name"],
            pipeline=release["pipeline"],
            engine=release["engine"],
            url=f"{self._base}/releases/{release['id']}",
            trigger={key: release[f"event_{key}"] for key in EVENT},
            trigger_attributes=release["event_attributes"],
            facts={"namespace": release["parameters"].get("namespace", ""), **facts},
            attempt=attempt,
        )
        return Entry(seq, happening)
