"""What the ledger tells of all releases together: which run, how many wait, and for how long."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, select

from coalmine.launcher.database import Database
from coalmine.launcher.line import RUNS, WAITS
from coalmine.launcher.outbox import select_waiting
from coalmine.launcher.read import count_by_state
from coalmine.launcher.release import OpenRelease
from coalmine.launcher.running import Running
from coalmine.launcher.tables import RELEASES, moment_text

__all__ = ["Readings"]


class Readings:
    """Reads a ledger for the launcher that works with it.

    Args:
        database: Where it is kept.
        clock: The time, UTC.
        owner: The launcher's id.

    Every method raises `CoalmineError` when the database cannot be used.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], owner: str) -> None:
        self._database = database
        self._clock = clock
        self._running = Running(owner)

    def running(self) -> tuple[OpenRelease, ...]:
        """List this launcher's releases that run, the oldest first."""
        with self._database.reading() as connection:
            return self._running.read(connection)

    def any_open(self) -> bool:
        """Tell whether any release has not ended, on whatever launcher."""
        query = select(RELEASES.c.seq).where(WAITS | RUNS).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def count_by_state(self) -> dict[str, int]:
        """Count releases, by every state there is."""
        with self._database.reading() as connection:
            return count_by_state(connection)

    def queue_age(self) -> float:
        """Give the seconds for which the oldest release that has not begun has waited."""
        query = select(RELEASES.c.requested_at).where(WAITS).order_by(RELEASES.c.seq).limit(1)
        with self._database.reading() as connection:
            found = connection.execute(query).scalar()
        return (
            max(0.0, (self._clock() - datetime.fromisoformat(found)).total_seconds())
            if found
            else 0.0
        )

    def waiting(self) -> list[tuple[str, int, float, int]]:
        """Tell of each sink that has not taken everything.

        Returns:
            For each: its name, the number of things that it has yet to be told, the age of the
            oldest in seconds, and the number of those that it is told no more.
        """
        with self._database.reading() as connection:
            found = select_waiting(connection)
        return [(one.sink, one.count, one.age(self._clock()), one.dead) for one in found]

    def connect(self) -> contextlib.AbstractContextManager[Connection]:
        """Open a connection to read with."""
        return self._database.reading()

    @property
    def database(self) -> Database:
        """Where it is kept."""
        return self._database

    def moment(self) -> str:
        """Give the present moment as the tables have it."""
        return str(moment_text(self._clock()))
