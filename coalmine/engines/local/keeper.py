"""Sees to it that a run which goes on by the record is also carried by a thread.

A run whose record cannot be written (the disk is full) loses its thread: the record still says that
it goes on, and only a new life of it can go on where it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from coalmine._base.errors import CoalmineError

__all__ = ["GRACE_SECONDS", "Keeper", "missed"]

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
"""Time for a run between two threads: about to begin, or just noting its end."""
LOOK_SECONDS = 1.0


def missed(
    before: Mapping[str, float], active: Collection[str], carried: Collection[str], now: float
) -> dict[str, float]:
    """Decide which runs have no thread, and since when each has been seen without one."""
    return {run_id: before.get(run_id, now) for run_id in active if run_id not in carried}


class Keeper:
    """Looks after the runs, in a thread of its own.

    Args:
        active: Gives the ids of the runs that go on by the record.
        carried: Gives the ids of those that a thread carries.
        resume: Gives a run a new thread.
        closing: Ends the looking.
        grace: Seconds that a run may be without a thread.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        active: Callable[[], Collection[str]],
        carried: Callable[[], Collection[str]],
        resume: Callable[[str], None],
        closing: threading.Event,
        *,
        grace: float = GRACE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._active = active
        self._carried = carried
        self._resume = resume
        self._closing = closing
        self._grace = grace
        self._monotonic = monotonic
        self._missed: dict[str, float] = {}
        self._thread = threading.Thread(target=self._loop, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the last look; ``closing`` is set."""
        self._thread.join()

    def look(self) -> None:
        """Look once, and resume what has been without a thread for the grace time.

        Raises:
            CoalmineError: The record cannot be read or written.
        """
        now = self._monotonic()
        self._missed = missed(self._missed, self._active(), self._carried(), now)
        for run_id, since in list(self._missed.items()):
            if now - since >= self._grace:
                self._resume(run_id)
                self._missed[run_id] = now
                logger.warning("run %s had lost its thread and is resumed", run_id)

    def _loop(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            try:
                self.look()
            except CoalmineError as error:
                logger.warning("runs cannot be looked after: %s", error.message)
            except Exception:
                logger.exception("runs cannot be looked after")
