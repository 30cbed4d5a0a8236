"""Whether a request is tried again, and when. Pure: the caller owns the clock."""

from __future__ import annotations

import re

__all__ = ["TRIES", "wait_before_retry"]

TRIES = 5
_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 60.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def wait_before_retry(status: int | None, retry_after: str, tried: int) -> float | None:
    """Say how many seconds to wait before the next try; None means that none is made.

    Args:
        status: What was answered; None means that the connection failed.
        retry_after: The ``Retry-After`` header (RFC 9110, 10.2.3). Whole seconds count; a date
            does not, as clocks differ. A longer wait than a minute is not taken on.
        tried: How many tries there were, at least 1.
    """
    if tried >= TRIES or (status is not None and status not in _PASSING):
        return None
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        asked = float(retry_after)
        return asked if asked <= _LONGEST_SECONDS else None
    return float(_FIRST_SECONDS * 2 ** (tried - 1))
