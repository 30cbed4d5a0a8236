"""Ask once more for a release that came to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from coalmine._base.errors import InputError
from coalmine.launcher.admission import Admitted, ConflictError
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.read import newer_promotion
from coalmine.launcher.release import NewRelease, ReleaseState, release_id_of
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
            NoRetryError: The release has not ended, or was promoted, or a newer one was.
            CoalmineError: The ledger cannot be used; ask again.
        """
        with self.ledger.connect() as connection:
            query = select(RELEASES).where(RELEASES.c.id == release_id)
            row = connection.execute(query).mappings().first()
            newer = row and newer_promotion(connection, row)
        if row is None:
            return None
        if row["state"] not in AGAIN:
            raise NoRetryError(
                f"the release {release_id} is {row['state']}",
                fix=f"retry one that is {', '.join(sorted(AGAIN))}; or ask for a new release",
            )
        if newer:
            raise NoRetryError(
                f"the newer release {newer} of {row['service']} was promoted meanwhile, and an "
                "older one never takes its place",
                fix="ask for the version again by a new event",
            )
        if row["state"] == ReleaseState.DEAD:
            state = self.ledger.retry(release_id)
            return Admitted(release_id, str(state), new=True)
        [answer] = self.ledger.accept([[_again(row)]])
        assert not isinstance(answer, ConflictError)
        return answer[0]


def _again(row: Mapping[Any, Any]) -> NewRelease:
    release_id = release_id_of(SOURCE, row["id"])
    parameters = {**row["parameters"], "release_id": release_id}
    same = ("service", "name", "event_source", "event_id", "event_type", "binding", "pipeline")
    return NewRelease(
        id=release_id,
        version=parameters.get("version", ""),
        engine=row["engine"],
        parameters=parameters,
        event_attributes=row["event_attributes"],
        **{name: row[name] for name in same},
    )
