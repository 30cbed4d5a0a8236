"""The loop: look, take the backend's next move, until the goal of the record's phase is reached."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from coalmine._base.errors import CoalmineError, InputError
from coalmine.serving.kube.asking import answered
from coalmine.serving.kube.client import Kube, StaleError
from coalmine.serving.kube.diagnosis import Patient
from coalmine.serving.kube.example import Prediction
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Ask, Done, Drifted, Moves, Note, Wait, Write
from coalmine.serving.kube.ownership import NotOwnerError, Ownership
from coalmine.serving.protocol import Phase

__all__ = ["Driver", "Timing"]

logger = logging.getLogger(__name__)
S = TypeVar("S")
ROUTED_SECONDS = 120.0
"""How long a canary that is up may take to get its share: both waits fit into one step's limit."""


LONGEST_PAUSE = 5
"""At most this many times as long between two looks as at first. One look at an InferenceService
takes five requests, so that a release that waits makes one a second."""


def _jitter() -> float:
    return random.uniform(0.9, 1.1)  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock of a drive.

    Attributes:
        timeout: Seconds after which a goal that is not reached is given up.
        poll: Seconds between the first looks.
        clock: Seconds, monotonic.
        sleep: Waits.
        jitter: What a pause is multiplied by, so that many releases do not look in step.
    """

    timeout: float = 420.0
    poll: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = _jitter

    def pause(self, turn: int, patience: float) -> float:
        """Tell how long to wait before the next look.

        Args:
            turn: How many looks in a row found nothing to do, 1 at first.
            patience: Seconds until a fault that was seen is looked at again; 0 if none was.
        """
        longer = min(turn, LONGEST_PAUSE) * self.poll * self.jitter()
        return min(longer, patience) if patience > 0 else longer


@dataclass(frozen=True, slots=True)
class Driver(Generic[S]):
    """Drives one backend.

    Attributes:
        kube: The cluster.
        own: The records.
        moves: What the backend knows.
        timing: The clock.
        probe: The prediction to ask; None means the bento's own example.
    """

    kube: Kube
    own: Ownership
    moves: Moves[S]
    timing: Timing
    probe: Prediction | None = None

    def reach(self, kept: Kept) -> Kept:
        """Reach the goal of the record's phase.

        The record is read again before every move: where another release has taken the service, or
        another process has ended this one, nothing more is written.

        Raises:
            NotOwnerError: Another release has taken the service.
            InputError: Somebody else has changed what the release had set, or waiting is of no use.
            CoalmineError: The time is over.
        """
        wanted, why = kept.record, "nothing was seen yet"
        limit = self.timing.timeout
        if wanted.phase is Phase.CANARY:
            limit = min(limit, ROUTED_SECONDS)
        ends = self.timing.clock() + limit
        patient, turn = Patient(self.timing.clock), 0
        while True:
            try:
                kept = self._still(wanted.service, wanted.release_id)
                move = self.moves.next(self.moves.look(self.kube, wanted.service), kept)
                if isinstance(move, Done):
                    return kept
                if isinstance(move, Drifted):
                    raise InputError(move.what, fix=move.fix)
                if not (why := self._make(move, kept, patient)):
                    turn = 0
                    continue
            except StaleError as fault:
                why = fault.message
            if self.timing.clock() >= ends:
                raise _given_up(kept, why, patient, limit)
            turn += 1
            self.timing.sleep(self.timing.pause(turn, patient.left()))

    def _still(self, service: str, release_id: str) -> Kept:
        kept = self.own.read(service)
        if kept is None or kept.record.release_id != release_id:
            owner = f"the release {kept.record.release_id}" if kept else "nobody"
            raise NotOwnerError(
                f"the service {service} was taken over by {owner} from {release_id}"
            )
        return kept

    def _make(self, move: Write | Note | Ask | Wait, kept: Kept, patient: Patient) -> str:
        """Make one move; tells what is waited for, empty where there is no need to wait."""
        match move:
            case Write(change):
                logger.info("change", extra={"what": change.what, "path": change.path})
                self.kube.write(change)
                return ""
            case Note(notes, canary):
                record = kept.record
                record = replace(record, canary=canary) if canary else record
                self.own.write(kept.with_record(record).noted(**notes))
                return ""
            case Ask(selector, noted, revision):
                if said := answered(self.kube, selector, self.probe):
                    return said
                self.own.write(kept.noted(**{noted: revision}))
                return ""
            case Wait(why):
                if patient.examine(self.kube, move):
                    raise _hopeless(kept, patient)
                return why


def _hopeless(kept: Kept, patient: Patient) -> CoalmineError:
    return InputError(
        f"{_name(kept)} does not come up: {patient.latest}",
        fix="mend what the reason names, and ask for a new release",
    )


def _given_up(kept: Kept, why: str, patient: Patient, seconds: float) -> CoalmineError:
    found = f"; {patient.latest}" if patient.latest else ""
    return CoalmineError(f"{_name(kept)}: gave up after {seconds:g} s: {why}{found}")


def _name(kept: Kept) -> str:
    record = kept.record
    return f"the release {record.release_id} of {record.service}, {record.phase}"
