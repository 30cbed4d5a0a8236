"""Canaries that are held, and what people decide about them; the gate tells and asks here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, bindparam, insert, select, update

from coalmine.events.happening import What
from coalmine.launcher.ledger import Ledger
from coalmine.launcher.notes import Note
from coalmine.launcher.release import ReleaseState
from coalmine.launcher.tables import ANSWERS, HOLDS, RELEASES

__all__ = ["Answer", "Answers", "Held", "Refusal"]


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


@dataclass(frozen=True, slots=True)
class Held:
    """A release whose canary is held.

    Attributes:
        answer: What a person has decided; None while nobody has.
    """

    answer: Answer | None


class Answers:
    """Keeps one answer a release, and which canaries wait for one; the first answer stands.

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

    def hold(self, release_id: str, reason: str) -> Held | Refusal:
        """Note that a running release's gate holds its canary; said again, only the reason changes.

        Returns:
            What was decided, or why it cannot be held.

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
                self._note(connection, release_id, reason)
        return Held(Answer(given) if given else None)

    def _note(self, connection: Connection, release_id: str, reason: str) -> None:
        one = HOLDS.c.release_id == release_id
        known = connection.execute(select(HOLDS.c.reason).where(one)).scalar()
        if known is None:
            moment = self._ledger.moment()
            values = {"release_id": release_id, "since": moment, "reason": reason}
            connection.execute(insert(HOLDS).values(**values))
            note = Note(What.HELD, moment, {"reason": reason})
            self._ledger.notes.put(connection, moment, [(release_id, note)])
        elif known != reason:
            connection.execute(update(HOLDS).where(one).values(reason=reason))
