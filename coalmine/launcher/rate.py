"""How many events a caller may send: a bucket that fills steadily."""

from __future__ import annotations

import math
from collections.abc import Callable

from coalmine.launcher.buckets import Buckets, OwnBuckets

__all__ = ["RateLimit"]

MINUTE = 60.0


class RateLimit:
    """Counts for each caller. A whole minute's events may come at once, but not more.

    Args:
        per_minute: The events a minute.
        monotonic: Seconds that only grow.
        buckets: Where the callers' buckets are; in this object unless given.
    """

    def __init__(
        self, per_minute: int, monotonic: Callable[[], float], buckets: Buckets | None = None
    ) -> None:
        self._most = float(per_minute)
        self._monotonic = monotonic
        self._buckets = buckets or OwnBuckets()

    def take(self, caller: str, events: int) -> int:
        """Take events out of a caller's bucket, all or none.

        A message of more events than a minute's is let through when the bucket is full: else it
        could never be sent.

        Returns:
            0 if they were there, else the whole seconds to wait.
        """
        needed = min(float(events), self._most)
        with self._buckets.held():
            now = self._monotonic()
            left, at = self._buckets.get(caller, (self._most, now))
            left = min(self._most, left + (now - at) * self._most / MINUTE)
            taken = events if needed <= left else 0
            self._buckets.put(caller, (left - taken, now))
        if needed <= left:
            return 0
        return max(1, math.ceil((needed - left) * MINUTE / self._most))
