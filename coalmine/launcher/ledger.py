"""The durable list of releases: what was accepted is on disk before anyone is told so."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, select

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
from coalmine.launcher.line import end_or_ask, put_back
from coalmine.launcher.notes import Note, Notes
from coalmine.launcher.readings import Readings
from coalmine.launcher.recording import Told, record_runs
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.running import begin_next, free_services
from coalmine.launcher.statements import Statements
from coalmine.launcher.tables import RELEASES

__all__ = ["LEASE_SECONDS", "Ledger", "ledger_url"]

LEASE_SECONDS = 15.0
"""A launcher that has not been seen for so long is taken for dead."""


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger(Readings):
    """Holds releases and their tasks: how they come in, go on and end.

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
        super().__init__(Database(url), clock, owner)
        self._say = Statements(sqlite=self._database.sqlite)
        self._accepting: Accepting = (
            SqliteAccepting() if self._database.sqlite else PostgresAccepting()
        )
        self._owner = owner
        self._lease = lease
        self._reached_at = reached_at
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
            free = free_services(connection, self._say, limit)
        if not free:
            return ()
        with self.writing(in_order=True) as connection:
            by = (self._owner, self.moment())
            return begin_next(connection, self._say, self.notes, free, by)

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
    ) -> frozenset[str]:
        """Note how a release of this launcher goes, or its end; an ended one is left as it is.

        Args:
            release_id: The release.
            tasks: How its tasks go; none leaves those that are known.
            facts: What is known of it.
            state: Where it is.

        Returns:
            The names of the tasks whose end was not noted before, by whatever launcher.
        """
        with self.writing(in_order=True) as connection:
            new = self._record(connection, {release_id: Told(tasks, facts, state)})
        return new.get(release_id, frozenset())

    def settle(
        self, told: Mapping[str, Told], services: Sequence[str]
    ) -> tuple[dict[str, frozenset[str]], tuple[str, ...]]:
        """Note how releases of this launcher go, and begin what waited for them, in one commit.

        Args:
            told: What is noted, by the releases' ids; ended ones are left as they are.
            services: Those whose oldest release begins, if none runs now.

        Returns:
            For each release that was noted the names of the tasks whose end was not noted before,
            and the ids of the releases that have begun.
        """
        with self.writing(in_order=bool(services)) as connection:
            new = self._record(connection, told)
            by = (self._owner, self.moment())
            return new, begin_next(connection, self._say, self.notes, services, by)

    def _record(
        self, connection: Connection, told: Mapping[str, Told]
    ) -> dict[str, frozenset[str]]:
        new = record_runs(connection, self.notes, self._owner, told, self.moment())
        promoted = [one for one in new if told[one].state is ReleaseState.PROMOTED]
        if promoted:  # what is older and waits was dead, and put back
            found = connection.execute(
                self._say.older_that_wait, {"promoted": json.dumps(promoted)}
            )
            for older, newer in found.all():
                reason = f"the newer release {newer} was promoted"
                end_or_ask(connection, self.notes, older, reason, self.moment())
        return new

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

    @contextlib.contextmanager
    def writing(self, *, in_order: bool = False) -> Iterator[Connection]:
        """Open a transaction to write with; what it notes for others is sent once it has ended."""
        with self._database.writing(in_order=in_order) as connection:
            yield connection
        self.notes.wake()
