"""The durable list of releases: what was accepted is on disk before anyone is told so."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, select, update

from coalmine.engines.protocol import TaskStatus
from coalmine.events.happening import What
from coalmine.launcher.accept import Accepting, PostgresAccepting, SqliteAccepting
from coalmine.launcher.admission import (
    Admission,
    Admitted,
    ConflictError,
    Group,
    admit,
)
from coalmine.launcher.database import Database, ledger_url
from coalmine.launcher.facts import Facts
from coalmine.launcher.line import RUNS, WAITS, end_or_ask, put_back
from coalmine.launcher.notes import Note, Notes
from coalmine.launcher.outbox import select_waiting
from coalmine.launcher.read import count_by_state
from coalmine.launcher.recording import Told, record_run
from coalmine.launcher.release import OpenRelease, ReleaseState
from coalmine.launcher.running import Running
from coalmine.launcher.statements import Statements
from coalmine.launcher.tables import RELEASES, moment_text

__all__ = ["LEASE_SECONDS", "Ledger", "ledger_url"]

LEASE_SECONDS = 15.0
"""A launcher that has not been seen for so long is taken for dead."""


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """Holds releases and their tasks.

    Args:
        url: A SQLite or PostgreSQL URL.
        clock: The time, UTC.
        owner: The id of the launcher that writes; the same again after a restart.
        lease: Seconds after which another launcher's releases may be taken over.
        notes: What others are told of; nothing unless given.
        reached_at: Base URL of the launcher that writes, for those who find it by the database.

    Every method raises `CoalmineError` when the database cannot be used; nothing is written then.
    """

    def __init__(
        self,
        url: str | URL,
        clock: Callable[[], datetime] = _now,
        *,
        owner: str = "launcher",
        lease: float = LEASE_SECONDS,
        notes: Notes | None = None,
        reached_at: str = "",
    ) -> None:
        self._database = Database(url)
        self._say = Statements(sqlite=self._database.sqlite)
        self._accepting: Accepting = (
            SqliteAccepting() if self._database.sqlite else PostgresAccepting()
        )
        self._clock = clock
        self._owner = owner
        self._lease = lease
        self._reached_at = reached_at
        self._running = Running(owner)
        self.notes = notes or Notes()
        """What others are told of."""

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def accept(self, groups: Sequence[Group]) -> list[list[Admitted] | ConflictError]:
        """Store the releases of several messages, durably, in one commit.

        Returns:
            For each message what its events came to, or why it was refused as a whole.
        """
        with self.writing() as connection:
            driver = connection.connection.driver_connection
            known = self._accepting.known(driver, groups)
            admission = admit(groups, known, self._clock().timestamp())
            self._write(connection, driver, admission)
        return admission.answers

    def _write(self, connection: Connection, driver: Any, admission: Admission) -> None:  # noqa: ANN401 - DB-API
        if admission.inserts:
            moment = self.moment()
            self._accepting.insert(driver, admission.inserts, moment)
            noted = [(one.id, Note(What.ACCEPTED)) for one in admission.inserts if self.notes]
            self.notes.put(connection, moment, noted)
        if admission.claims:
            self._accepting.claim(driver, admission.claims)
        for release_id, newer in admission.superseded.items():
            reason = f"superseded by {newer}"
            end_or_ask(connection, self.notes, release_id, reason, self.moment())

    def begin(self, limit: int = 1) -> tuple[str, ...]:
        """Move releases from accepted to running: the oldest of each service that has none running.

        Args:
            limit: At most so many.

        Returns:
            Their ids, the oldest first; they are this launcher's from now on.
        """
        # Most often there is none, and to find that out nobody needs to wait.
        with self._database.reading() as connection:
            if connection.execute(self._say.any_startable).first() is None:
                return ()
        with self.writing(in_order=True) as connection:
            found = connection.execute(self._say.startable, {"limit": limit}).scalars().all()
            if found:
                values = {"state": "running", "owner": self._owner, "started_at": self.moment()}
                change = update(RELEASES).where(RELEASES.c.id.in_(found), WAITS)
                connection.execute(change.values(**values))
                noted = [(one, Note(What.RUNNING)) for one in found]
                self.notes.put(connection, values["started_at"], noted)
        return tuple(found)

    def cancel(self, release_id: str, reason: str) -> ReleaseState | None:
        """End a release that has not begun, or note that a running one shall end.

        Returns:
            Where the release is now; None if there is none of this id.
        """
        with self.writing() as connection:
            end_or_ask(connection, self.notes, release_id, reason, self.moment())
            query = select(RELEASES.c.state).where(RELEASES.c.id == release_id)
            state = connection.execute(query).scalar()
        return ReleaseState(state) if state else None

    def retry(self, release_id: str) -> ReleaseState | None:
        """Put a dead release back in line, at its old place; any other is left as it is.

        So is one whose service had a newer promotion meanwhile.

        Returns:
            Where the release is now; None if there is none of this id.
        """
        with self.writing(in_order=True) as connection:
            return put_back(connection, self.notes, release_id, self.moment())

    def record(
        self,
        release_id: str,
        tasks: tuple[TaskStatus, ...],
        facts: Facts,
        state: ReleaseState = ReleaseState.RUNNING,
        *,
        submitted: bool = False,
    ) -> frozenset[str]:
        """Note how a release of this launcher goes, or its end; an ended one is left as it is.

        Args:
            release_id: The release.
            tasks: How its tasks go; none leaves those that are known.
            facts: What is known of it.
            state: Where it is.
            submitted: Whether its engine was seen to have its run.

        Returns:
            The names of the tasks whose end was not noted before, by whatever launcher.
        """
        told = Told(tasks, facts, state, submitted)
        with self.writing() as connection:
            release = (release_id, self._owner)
            new = record_run(connection, self.notes, release, told, self.moment())
            if state is ReleaseState.PROMOTED:
                self._leave_behind(connection, release_id)
        return new

    def _leave_behind(self, connection: Connection, promoted: str) -> None:
        """End what waits and is older than a promotion: a dead release that was put back."""
        older = connection.execute(self._say.older_that_wait, {"id": promoted}).scalars().all()
        for release_id in older:
            reason = f"the newer release {promoted} was promoted"
            end_or_ask(connection, self.notes, release_id, reason, self.moment())

    def submitted(self, releases: Iterable[str]) -> None:
        """Note that engines were seen to have the runs of releases of this launcher."""
        mine = (RELEASES.c.id.in_(list(releases)), RUNS, RELEASES.c.owner == self._owner)
        with self.writing() as connection:
            change = update(RELEASES).where(*mine, RELEASES.c.submitted_at.is_(None))
            connection.execute(change.values(submitted_at=self.moment()))

    def running(self) -> tuple[OpenRelease, ...]:
        """List this launcher's releases that run, the oldest first."""
        with self._database.reading() as connection:
            return self._running.read(connection)

    def any_open(self) -> bool:
        """Tell whether any release has not ended, on whatever launcher."""
        query = select(RELEASES.c.seq).where(WAITS | RUNS).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def check_in(self, portable: Iterable[str]) -> int:
        """Say that this launcher lives, and take over the runs of those that do not.

        Args:
            portable: The engines whose runs any launcher can follow.

        Returns:
            The number of runs that were taken over.
        """
        given = {"owner": self._owner, "lease": self._lease, "engines": json.dumps([*portable])}
        with self._database.writing() as connection:
            connection.execute(self._say.heartbeat, {"id": self._owner, "url": self._reached_at})
            return connection.execute(self._say.take_over, given).rowcount

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

    @contextlib.contextmanager
    def writing(self, *, in_order: bool = False) -> Iterator[Connection]:
        """Open a transaction to write with; what it notes for others is sent once it has ended."""
        with self._database.writing(in_order=in_order) as connection:
            yield connection
        self.notes.wake()

    @property
    def database(self) -> Database:
        """Where it is kept."""
        return self._database

    def moment(self) -> str:
        """Give the present moment as the tables have it."""
        return str(moment_text(self._clock()))
