"""Wait for a condition, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_for"]

T = TypeVar("T")


def wait_for(
    look: Callable[[], T | None],
    *,
    seconds: float,
    every: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T | None:
    """Look again and again until there is something true to see.

    Args:
        look: Called at least once; its first true result ends the wait. What it raises, too.
        seconds: The limit.
        every: Pause between two looks, in seconds.
        clock: A monotonic clock, in seconds.
        sleep: Waits that long.

    Returns:
        What was seen, or None when time ran out.
    """
    end = clock() + seconds
    while True:
        if seen := look():
            return seen
        if clock() >= end:
            return None
        sleep(every)
