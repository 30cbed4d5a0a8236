"""The durable list of releases: what was accepted is on disk before anyone is told so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from coalmine._base.errors import CoalmineError
from coalmine.engines.protocol import TaskStatus
from coalmine.launcher.facts import Facts
from coalmine.launcher.release import NewRelease, OpenRelease, ReleaseState
from coalmine.launcher.tables import METADATA, RELEASES, TASKS, moment_text

__all__ = ["Ledger", "ledger_url"]

Row = Mapping[Any, Any]
OPEN = (ReleaseState.ACCEPTED.value, ReleaseState.RUNNING.value)


def ledger_url(state: Path) -> URL:
    """Give the URL of the ledger in a state folder, whatever characters its path has."""
    return URL.create("sqlite", database=str(state / "ledger.db"))


def _now() -> datetime:
    return datetime.now(UTC)


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - DB-API
    """Write ahead, reach the disk at every commit, and wait for other writers."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


class Ledger:
    """Holds releases and their tasks in any database that SQLAlchemy speaks to.

    Args:
        url: A SQLAlchemy URL.
        clock: The time, UTC.
    """

    def __init__(self, url: str | URL, clock: Callable[[], datetime] = _now) -> None:
        self._engine: Engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _set_up_sqlite)
        self._clock = clock
        try:
            METADATA.create_all(self._engine)
        except SQLAlchemyError as error:
            raise _unusable(self._engine, error) from error

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def accept(self, release: NewRelease) -> tuple[Row, bool]:
        """Store a release, durably.

        Returns:
            The release as it is stored, and whether it is new; if the event was accepted before,
            nothing changes and the release of then is given.

        Raises:
            CoalmineError: The database cannot be used; nothing was stored.
        """
        values = {**asdict(release), "parameters": dict(release.parameters)}
        row = values | {"state": ReleaseState.ACCEPTED.value, "requested_at": self._moment()}
        try:
            with self._transaction() as connection:
                connection.execute(insert(RELEASES).values(**row))
        except IntegrityError:
            return self._require(release.id), False
        return self._require(release.id), True

    def begin(self, release_id: str) -> bool:
        """Move a release from accepted to running, unless its service has one that runs."""
        change = (
            update(RELEASES)
            .where(RELEASES.c.id == release_id, RELEASES.c.state == ReleaseState.ACCEPTED.value)
            .values(state=ReleaseState.RUNNING.value, started_at=self._moment())
        )
        try:
            with self._transaction() as connection:
                return connection.execute(change).rowcount == 1
        except IntegrityError:
            return False

    def cancel(self, release_id: str, reason: str) -> bool:
        """End a release that has not begun; tells whether it had not."""
        change = (
            update(RELEASES)
            .where(RELEASES.c.id == release_id, RELEASES.c.state == ReleaseState.ACCEPTED.value)
            .values(state=ReleaseState.CANCELLED.value, reason=reason, ended_at=self._moment())
        )
        with self._transaction() as connection:
            return connection.execute(change).rowcount == 1

    def record(
        self,
        release_id: str,
        tasks: tuple[TaskStatus, ...],
        facts: Facts,
        state: ReleaseState = ReleaseState.RUNNING,
    ) -> None:
        """Note how a running release goes, or its end; an ended release is left as it is."""
        known = {name: value for name, value in asdict(facts).items() if value or name == "reason"}
        ended_at = {"ended_at": self._moment()} if state.ended else {}
        change = (
            update(RELEASES)
            .where(RELEASES.c.id == release_id, RELEASES.c.state == ReleaseState.RUNNING.value)
            .values(state=state.value, **known, **ended_at)
        )
        rows = [_task_row(release_id, position, task) for position, task in enumerate(tasks)]
        with self._transaction() as connection:
            if connection.execute(change).rowcount and rows:
                connection.execute(delete(TASKS).where(TASKS.c.release_id == release_id))
                connection.execute(insert(TASKS), rows)

    def open_releases(self) -> tuple[OpenRelease, ...]:
        """List what has not ended, the oldest first."""
        query = select(RELEASES).where(RELEASES.c.state.in_(OPEN)).order_by(RELEASES.c.seq)
        with self._transaction() as connection:
            return tuple(_open(row) for row in connection.execute(query).mappings())

    def release(self, release_id: str) -> Row | None:
        """Give one release's row; None if there is none."""
        with self._transaction() as connection:
            query = select(RELEASES).where(RELEASES.c.id == release_id)
            found = connection.execute(query).mappings().first()
            return dict(found) if found else None

    def count_by_state(self) -> dict[str, int]:
        """Count releases, by every state there is."""
        query = select(RELEASES.c.state, func.count()).group_by(RELEASES.c.state)
        with self._transaction() as connection:
            found = {state: count for state, count in connection.execute(query)}  # noqa: C416
        return {state.value: found.get(state.value, 0) for state in ReleaseState}

    def connect(self) -> contextlib.AbstractContextManager[Connection]:
        """Open a connection to read with."""
        return self._transaction()

    def _require(self, release_id: str) -> Row:
        found = self.release(release_id)
        if found is None:
            raise CoalmineError(f"the release {release_id} was not stored", fix="send it again")
        return found

    def _moment(self) -> str:
        return str(moment_text(self._clock()))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise _unusable(self._engine, error) from error


def _unusable(engine: Engine, error: SQLAlchemyError) -> CoalmineError:
    cause = getattr(error, "orig", None) or error
    return CoalmineError(
        f"the ledger {engine.url.render_as_string()} cannot be used: {cause}",
        fix="see that its folder can be written and its disk is not full",
    )


def _open(row: Row) -> OpenRelease:
    return OpenRelease(
        id=row["id"],
        service=row["service"],
        state=ReleaseState(row["state"]),
        order=row["seq"],
        pipeline=row["pipeline"],
        engine=row["engine"],
        parameters=row["parameters"],
    )


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
