"""Which releases' events a sink has not taken, and when each may be offered again.

A release that fails waits by itself, so one that a sink will not take holds no other up. Only when
many have failed with none between them taken, it is the sink that is down: then it is asked
rarely, and for some releases at a time that take turns, so that none is left out for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Stuck", "wait_after"]

FIRST_WAIT = 0.25
LONGEST_WAIT = 60.0
LONGEST_ASKED = 600.0
MOST_FAILING = 16
"""Releases in a row; with so many failures it is the sink that is down."""


def wait_after(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row (from 1 on)."""
    return float(min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT))


@dataclass(frozen=True, slots=True)
class _Wait:
    failures: int = 0
    until: float = 0.0


class Stuck:
    """What a sender knows of a sink's failures; it keeps the ids of releases and no events.

    Args:
        monotonic: Seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waits: dict[str, _Wait] = {}
        self._turn: set[str] = set()
        self._in_a_row = 0
        self._down_rounds = 0
        self._until = 0.0

    @property
    def down(self) -> bool:
        """Tell whether it is the sink that fails, and not some releases."""
        return self._in_a_row >= MOST_FAILING

    @property
    def rest(self) -> float:
        """Give the seconds for which the sink is to be left alone; 0 if it may be asked."""
        return max(0.0, self._until - self._monotonic())

    def may_try(self, release_id: str) -> bool:
        """Tell whether a release's next event may be offered now."""
        if self.down and release_id in self._turn:
            return False
        wait = self._waits.get(release_id)
        return wait is None or wait.until <= self._monotonic()

    def failures(self, release_id: str) -> int:
        """Give how often in a row a release's next event was not taken."""
        return self._waits.get(release_id, _Wait()).failures

    def failed(self, release_id: str) -> None:
        """Take note that a release's next event was not taken."""
        failures = self.failures(release_id) + 1
        until = self._monotonic() + wait_after(failures)
        self._waits[release_id] = _Wait(failures, until)
        self._turn.add(release_id)
        self._in_a_row += 1

    def took(self, release_id: str) -> None:
        """Take note that something was taken; if the sink was down, it is up again."""
        if self.down:  # how long the others are to wait was no fault of theirs
            now = self._monotonic()
            self._waits = {name: _Wait(one.failures, now) for name, one in self._waits.items()}
        self._waits.pop(release_id, None)
        self._turn.clear()
        self._in_a_row = self._down_rounds = 0

    def all_seen(self) -> None:
        """Take note that every release has had its turn."""
        self._turn.clear()

    def after_round(self, asked: float, idle: float) -> float:
        """Decide when the next round is due.

        Args:
            asked: Seconds for which the sink asked to be left alone; 0 if it did not.
            idle: Seconds after which one is due anyway.
        """
        now = self._monotonic()
        wait = 0.0
        if self.down:
            self._down_rounds += 1
            wait = wait_after(self._down_rounds)
        if asked or self.down:
            wait = max(wait, min(asked, LONGEST_ASKED))
            self._until = now + wait
            return wait
        due = min((one.until for one in self._waits.values()), default=now + idle)
        return min(idle, max(0.0, due - now))
