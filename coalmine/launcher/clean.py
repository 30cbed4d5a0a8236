"""Removes releases that ended long ago, with everything that the ledger keeps of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Exists, delete, select

from coalmine.launcher.database import Database
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import (
    ANSWERS,
    CLAIMS,
    DEAD_LETTERS,
    HOLDS,
    OUTBOX,
    RELEASES,
    TASKS,
    moment_text,
)

__all__ = ["clean_history", "old_releases"]

AT_ONCE = 200
"""In one commit, so that none who writes waits long."""
PROMOTED = ReleaseState.PROMOTED.value
OF_A_RELEASE = (TASKS, ANSWERS, HOLDS, DEAD_LETTERS)


def clean_history(database: Database, before: datetime) -> list[str]:
    """Remove the releases that ended before a moment, however many.

    What stays: the newest promotion of each service, for that is what serves, and what a sink has
    yet to be told. An event whose release was removed is a new one if it is sent again.

    Args:
        database: The ledger's; launchers may work with it.
        before: The moment.

    Returns:
        The ids of what was removed.

    Raises:
        CoalmineError: The ledger cannot be used; what was removed by then is.
    """
    gone: list[str] = []
    while True:
        with database.writing(in_order=True) as connection:
            found = old_releases(connection, before, limit=AT_ONCE)
            if not found:
                break
            for table in OF_A_RELEASE:
                connection.execute(delete(table).where(table.c.release_id.in_(found)))
            connection.execute(delete(RELEASES).where(RELEASES.c.id.in_(found)))
        gone += found
    if gone:
        # In order: one that is accepted meanwhile may renew a claim, which looked as if nobody's.
        with database.writing(in_order=True) as connection:
            there = select(RELEASES.c.id).where(RELEASES.c.id == CLAIMS.c.release_id).exists()
            connection.execute(delete(CLAIMS).where(~there))
    return gone


def old_releases(
    connection: Connection, before: datetime, *, limit: int | None = None
) -> list[str]:
    """Find what `clean_history` removes, the oldest first.

    Args:
        connection: To the ledger.
        before: The moment.
        limit: At most so many; all unless given.
    """
    query = select(RELEASES.c.id).where(
        RELEASES.c.ended_at < moment_text(before),
        RELEASES.c.id.not_in(select(OUTBOX.c.release_id)),
        (RELEASES.c.state != PROMOTED) | _promoted_since(),
    )
    return list(connection.execute(query.order_by(RELEASES.c.seq).limit(limit)).scalars())


def _promoted_since() -> Exists:
    """Whether the service has a newer promotion; asked of each release by itself, by an index."""
    newer = RELEASES.alias("newer")
    query = select(newer.c.seq).where(
        newer.c.service == RELEASES.c.service,
        newer.c.seq > RELEASES.c.seq,
        newer.c.state == PROMOTED,
    )
    return query.exists()
