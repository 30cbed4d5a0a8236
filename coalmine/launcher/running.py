"""The releases that a launcher drives, read again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select

from coalmine.launcher.release import OpenRelease, ReleaseState
from coalmine.launcher.tables import RELEASES

__all__ = ["Running"]

MOST_NAMED = 500
"""Releases in one statement; a database has a limit."""
COLUMNS = [
    RELEASES.c[name]
    for name in ("id", "service", "pipeline", "engine", "cancel_reason", "submitted_at")
]


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
