"""Carry a release's end out, and take a promotion back that can never be routed.

A promotion is written down before the traffic moves. Should the canary be lost in between, the
service would stay at the canary's split, and every later release would wait for this one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from coalmine._base.errors import CoalmineError
from coalmine.serving.kube.client import StaleError
from coalmine.serving.kube.drive import Driver, Timing
from coalmine.serving.kube.kept import Kept
from coalmine.serving.kube.moves import Drifted, Wait
from coalmine.serving.kube.ownership import NotOwnerError
from coalmine.serving.protocol import Phase
from coalmine.serving.record import undone
from coalmine.serving.taken_back import TakenBackError

__all__ = ["Ending", "patiently"]

logger = logging.getLogger(__name__)
TRIES = 20
SILENT_SECONDS = 120.0
"""For how long a decision is tried again. One try takes as long as the server lets it: 40 s and
more where it takes connections and says nothing."""
R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Ending(Generic[S]):
    """Ends releases.

    Attributes:
        driver: What reaches the goal of a record's phase.
    """

    driver: Driver[S]

    def reach(self, kept: Kept) -> Kept:
        """Reach the goal of a phase that ends a release.

        Raises:
            TakenBackError: The promotion cannot be carried out; the stable version has all traffic.
            NotOwnerError: Another release has taken the service.
            CoalmineError: It cannot be reached now.
        """
        try:
            return self.driver.reach(kept)
        except (NotOwnerError, StaleError):
            raise
        except CoalmineError as fault:
            back = self._taken_back(kept)
            if back is None:
                raise
            why = fault.message
        raise TakenBackError(self.driver.reach(back).record, why) from None

    def _taken_back(self, kept: Kept) -> Kept | None:
        """Write down that a promotion is taken back, if it is the only way on."""
        if kept.record.phase is not Phase.PROMOTED:
            return None

        def decide() -> Kept | None:
            now = self.driver.own.read(kept.record.service)
            if now is None or now.record != kept.record or not self._is_stuck(now):
                return None
            logger.warning("the promotion is taken back", extra={"release": now.record.release_id})
            return self.driver.own.write(now.with_record(undone(now.record)))

        return patiently(decide, self.driver.timing)

    def _is_stuck(self, kept: Kept) -> bool:
        """Whether the stable version still has its share, and nothing can be done but to wait."""
        moves, record = self.driver.moves, kept.record
        seen = moves.look(self.driver.kube, record.service)
        routed = {share.revision for share in moves.shares(seen)}
        if record.stable not in routed or not isinstance(moves.next(seen, kept), Wait | Drifted):
            return False
        # What a person did to the traffic stands in both ways: it is theirs to say what shall be.
        back = moves.next(seen, kept.with_record(undone(record)))
        return not isinstance(back, Drifted)


def patiently(decide: Callable[[], R], timing: Timing) -> R:
    """Decide anew as long as the cluster moves on between reading and writing.

    Raises:
        StaleError: It still does after many tries, or the server has not answered for so long that
            the step would be cut off without a word.
    """
    ends = timing.clock() + SILENT_SECONDS
    for _ in range(TRIES):
        try:
            return decide()
        except StaleError:
            if timing.clock() >= ends:
                raise
            timing.sleep(timing.poll)
    return decide()
