"""Ask once more for a release that came to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from coalmine._base.errors import InputError
from coalmine.launcher.admission import Admitted, ConflictError
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.read import newer_open, newer_promotion
from coalmine.launcher.release import Conflict, NewRelease, ReleaseState, release_id_of
from coalmine.launcher.tables import RELEASES

__all__ = ["NoRetryError", "Retrier"]

SOURCE = "/coalmine/retry"
AGAIN = frozenset(ReleaseState) - {
    ReleaseState.ACCEPTED,
    ReleaseState.RUNNING,
    ReleaseState.PROMOTED,
}


class NoRetryError(InputError):
    """A release has not ended, or has done what was asked."""


@dataclass(frozen=True, slots=True)
class Retrier:
    """Retries releases.

    Attributes:
        ledger: Where releases stand.
    """

    ledger: Ledger

    def retry(self, release_id: str) -> Admitted | None:
        """Ask for what a release asked for; it waits its turn like any other.

        One that is dead never began: it is put back in line itself. Any other has had a run, so a
        new release is made. Its id follows from the old one's, so that asking again is no second
        one; to try a third time, retry the second.

        Returns:
            The release that waits now; None if there is none of this id.

        Raises:
            NoRetryError: The release has not ended, or was promoted, or its service has a newer
                one that was or may yet be.
            CoalmineError: The ledger cannot be used; ask again.
        """
        with self.ledger.connect() as connection:
            row = _row(connection, release_id)
            if row is None:
                return None
            again = release_id_of(SOURCE, release_id)
            if made := _row(connection, again):
                return Admitted(again, made["state"], new=False)
            _check(connection, row)
        if row["state"] == ReleaseState.DEAD:
            state = self.ledger.retry(release_id)
            return Admitted(release_id, str(state), new=True)
        [answer] = self.ledger.accept([[_again(row)]])
        if isinstance(answer, ConflictError):  # accepted since it was looked for
            raise _overtaken(row, "one that was accepted just now")
        return answer[0]


def _row(connection: Connection, release_id: str) -> Mapping[Any, Any] | None:
    return (
        connection.execute(select(RELEASES).where(RELEASES.c.id == release_id)).mappings().first()
    )


def _check(connection: Connection, row: Mapping[Any, Any]) -> None:
    if row["state"] not in AGAIN:
        raise NoRetryError(
            f"the release {row['id']} is {row['state']}",
            fix=f"retry one that is {', '.join(sorted(AGAIN))}; or ask for a new release",
        )
    if newer := newer_promotion(connection, row):
        raise NoRetryError(
            f"the newer release {newer} of {row['service']} was promoted meanwhile, and an "
            "older one never takes its place",
            fix="ask for the version again by a new event",
        )
    # One that is dead goes back to its old place, where what is newer waits for it.
    if row["state"] != ReleaseState.DEAD and (newer := newer_open(connection, row)):
        raise _overtaken(row, newer)


def _overtaken(row: Mapping[Any, Any], newer: str) -> NoRetryError:
    return NoRetryError(
        f"{row['service']} has a newer release that has not ended, {newer}: behind it, this older "
        "one would take its place",
        fix="retry when that has ended without a promotion; or ask for the version by a new event",
    )


def _again(row: Mapping[Any, Any]) -> NewRelease:
    release_id = release_id_of(SOURCE, row["id"])
    parameters = {**row["parameters"], "release_id": release_id}
    same = ("service", "name", "event_source", "event_id", "event_type", "binding", "pipeline")
    return NewRelease(
        id=release_id,
        version=parameters.get("version", ""),
        engine=row["engine"],
        on_conflict=Conflict.REJECT,
        parameters=parameters,
        event_attributes=row["event_attributes"],
        **{name: row[name] for name in same},
    )
