"""Releases leave the line in which they wait, or come back into it, over an open transaction."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from coalmine.events.happening import What
from coalmine.launcher.notes import Note, Notes
from coalmine.launcher.read import newer_promotion
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import RELEASES

__all__ = ["RUNS", "WAITS", "end_or_ask", "put_back"]

WAITS = RELEASES.c.state == ReleaseState.ACCEPTED.value
RUNS = RELEASES.c.state == ReleaseState.RUNNING.value


def end_or_ask(
    connection: Connection, notes: Notes, release_id: str, reason: str, moment: str
) -> None:
    """End a release that has not begun, or note why a running one shall end; leave any other."""
    one = RELEASES.c.id == release_id
    ended = {"state": ReleaseState.CANCELLED.value, "reason": reason, "ended_at": moment}
    if connection.execute(update(RELEASES).where(one, WAITS).values(**ended)).rowcount:
        notes.put(
            connection, moment, [(release_id, Note(What.CANCELLED, moment, {"reason": reason}))]
        )
        return
    asked = update(RELEASES).where(one, RUNS, RELEASES.c.cancel_reason == "")
    connection.execute(asked.values(cancel_reason=reason))


def put_back(
    connection: Connection, notes: Notes, release_id: str, moment: str
) -> ReleaseState | None:
    """Put a dead release back at its old place; leave any other, and one that came too late.

    Returns:
        Where the release is now; None if there is none of this id.
    """
    one = RELEASES.c.id == release_id
    found = connection.execute(select(RELEASES).where(one)).mappings().first()
    if found is None or found["state"] != ReleaseState.DEAD.value:
        return ReleaseState(found["state"]) if found else None
    if newer_promotion(connection, found):
        return ReleaseState.DEAD
    values = {"state": ReleaseState.ACCEPTED.value, "reason": "", "cancel_reason": ""}
    change = update(RELEASES).where(one).values(**values, ended_at=None, started_at=None)
    connection.execute(change.values(attempt=RELEASES.c.attempt + 1))
    notes.put(connection, moment, [(release_id, Note(What.ACCEPTED))])
    return ReleaseState.ACCEPTED
