"""What people decide about releases whose canary is held; the gate reads it from here."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import bindparam, insert, select

from coalmine.launcher.ledger import Ledger
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import ANSWERS, RELEASES

__all__ = ["Answer", "Answers", "Refusal"]


# Locked, so that of two who answer at once the second sees what the first said.
STATE = select(RELEASES.c.state).where(RELEASES.c.id == bindparam("id")).with_for_update()
GIVEN = select(ANSWERS.c.answer).where(ANSWERS.c.release_id == bindparam("id"))


class Answer(StrEnum):
    """A person's decision."""

    APPROVED = "approved"
    REJECTED = "rejected"


class Refusal(StrEnum):
    """Why an answer was not taken."""

    UNKNOWN = "there is no such release"
    NOT_RUNNING = "only a running release can be decided about"
    ANSWERED = "another answer was given before"


class Answers:
    """Keeps one answer a release; the first stands.

    Args:
        ledger: Where releases stand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def give(self, release_id: str, answer: Answer) -> Refusal | None:
        """Decide about a running release; the same answer again changes nothing.

        It may be given before the canary is held, and counts if it comes to that.

        Returns:
            None if this is the release's answer now, else why it is not.

        Raises:
            CoalmineError: The ledger cannot be used; ask again.
        """
        with self._ledger.writing() as connection:
            state = connection.execute(STATE, {"id": release_id}).scalar()
            if state is None:
                return Refusal.UNKNOWN
            if state != ReleaseState.RUNNING:
                return Refusal.NOT_RUNNING
            given = connection.execute(GIVEN, {"id": release_id}).scalar()
            if given is None:
                values = {"release_id": release_id, "answer": answer.value}
                moment = self._ledger.moment()
                connection.execute(insert(ANSWERS).values(**values, answered_at=moment))
        return None if given in {None, answer.value} else Refusal.ANSWERED
