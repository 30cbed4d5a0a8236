"""What people decide about releases whose canary is held; the gate reads it from here."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from coalmine.launcher.ledger import Ledger
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import ANSWERS, moment_now

__all__ = ["Answer", "Answers", "Refusal"]


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
        row = self._ledger.release(release_id)
        if row is None:
            return Refusal.UNKNOWN
        if ReleaseState(row["state"]) is not ReleaseState.RUNNING:
            return Refusal.NOT_RUNNING
        values = {"release_id": release_id, "answer": answer.value, "answered_at": moment_now()}
        try:
            with self._ledger.connect() as connection:
                connection.execute(insert(ANSWERS).values(**values))
        except IntegrityError:
            return None if self._given(release_id) == answer else Refusal.ANSWERED
        return None

    def _given(self, release_id: str) -> str | None:
        query = select(ANSWERS.c.answer).where(ANSWERS.c.release_id == release_id)
        with self._ledger.connect() as connection:
            return connection.execute(query).scalar()
