"""The releases that a launcher drives: how they begin, and are read again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from coalmine.events.happening import What
from coalmine.launcher.notes import Note, Notes
from coalmine.launcher.release import OpenRelease, ReleaseState
from coalmine.launcher.statements import Statements
from coalmine.launcher.tables import RELEASES

__all__ = ["Running", "begin_next", "free_services"]

MOST_NAMED = 500
"""Releases in one statement; a database has a limit."""
COLUMNS = [
    RELEASES.c[name]
    for name in ("id", "service", "pipeline", "engine", "cancel_reason", "submitted_at")
]


def free_services(connection: Connection, say: Statements, limit: int) -> list[str]:
    """Find services that have a release that waits and none that runs.

    Args:
        connection: To read with.
        say: Statements for its database.
        limit: At most so many: those whose releases have waited longest.
    """
    driver: Any = connection.connection.driver_connection
    return [row[0] for row in driver.execute(say.free_services, {"limit": limit})]


def begin_next(
    connection: Connection,
    say: Statements,
    notes: Notes,
    services: Sequence[str],
    by: tuple[str, str],
) -> tuple[str, ...]:
    """Move the oldest release that waits of each service that has none running to running.

    Args:
        connection: To write with; no other launcher begins or accepts any meanwhile.
        say: Statements for its database.
        notes: What others are told of it.
        services: The services.
        by: The launcher whose they are from now on, and the moment.

    Returns:
        The ids of the releases, the oldest first.
    """
    if not services:
        return ()
    owner, moment = by
    driver: Any = connection.connection.driver_connection
    found = [row[0] for row in driver.execute(say.next_of, {"services": json.dumps(services)})]
    if found:
        driver.execute(say.begin, {"ids": json.dumps(found), "owner": owner, "at": moment})
        notes.put(connection, moment, [(one, Note(What.RUNNING)) for one in found])
    return tuple(found)


class Running:
    """Reads them, their parameters but once: they never change, and parsing takes long.

    Args:
        owner: The launcher's id.
    """

    def __init__(self, owner: str) -> None:
        running = RELEASES.c.state == ReleaseState.RUNNING.value
        self._mine = (running, RELEASES.c.owner == owner)
        self._parameters: dict[str, Mapping[str, str]] = {}

    def read(self, connection: Connection) -> tuple[OpenRelease, ...]:
        """Give those that run now, the oldest first."""
        query = select(*COLUMNS).where(*self._mine).order_by(RELEASES.c.seq)
        rows = connection.execute(query).all()
        known = self._parameters
        if fresh := [row.id for row in rows if row.id not in known]:
            among = (RELEASES.c.id.in_(fresh),) if len(fresh) <= MOST_NAMED else self._mine
            parameters = select(RELEASES.c.id, RELEASES.c.parameters).where(*among)
            known = known | {one.id: one.parameters for one in connection.execute(parameters)}
        self._parameters = {row.id: known[row.id] for row in rows}
        return tuple(_open(row, known[row.id]) for row in rows)


def _open(row: Row[Any], parameters: Mapping[str, str]) -> OpenRelease:
    return OpenRelease(
        id=row.id,
        service=row.service,
        pipeline=row.pipeline,
        engine=row.engine,
        parameters=parameters,
        cancel_reason=row.cancel_reason,
        submitted=row.submitted_at is not None,
    )
