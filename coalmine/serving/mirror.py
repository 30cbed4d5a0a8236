"""Requests of which a canary gets a copy while it has no share yet. Pure.

The copy's answer is thrown away, so a canary can be tried on real requests without a user who
waits for it. Whatever a request does, a copy does once more: so by default only those are copied
whose method promises to change nothing (RFC 9110, "Safe Methods").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from coalmine._base.errors import InputError

__all__ = ["ANY", "SAFE", "Mirror", "parse_mirror"]

SAFE = ("GET", "HEAD", "OPTIONS")
ANY = "ANY"
HOLD = timedelta(seconds=30)
LONGEST = timedelta(seconds=120)
"""A canary has to become ready and be mirrored to within one step's limit."""
WORDS = re.compile(r"(\d{1,3})(?:\s+([A-Z]+(?:,[A-Z]+)*))?(?:\s+(\d{1,4})s)?")
FIX = "give for example: 10, or 10 POST, or 10 GET,POST 60s, or 10 ANY"


@dataclass(frozen=True, slots=True)
class Mirror:
    """What is copied, and for how long.

    Attributes:
        percent: Of how many of the requests, 1 to 100.
        methods: Of which requests; empty means of all.
        hold: How long the canary gets copies before it gets its share.
    """

    percent: int
    methods: tuple[str, ...] = SAFE
    hold: timedelta = HOLD


def parse_mirror(text: str) -> Mirror | None:
    """Read the setting: ``PERCENT [METHOD,...] [SECONDSs]``; empty or 0 is None.

    Raises:
        InputError: It is not that.
    """
    if not text.strip():
        return None
    found = WORDS.fullmatch(text.strip())
    if not found or int(found[1]) > 100:  # noqa: PLR2004
        raise InputError(f"{text!r} is no percent from 0 to 100", field="mirror", fix=FIX)
    hold = timedelta(seconds=int(found[3])) if found[3] else HOLD
    if hold > LONGEST:
        raise InputError(
            f"{text!r} is longer than {LONGEST.total_seconds():g} s", field="mirror", fix=FIX
        )
    named = tuple(sorted(set(found[2].split(",")))) if found[2] else SAFE
    methods = () if ANY in named else named
    return Mirror(int(found[1]), methods, hold) if int(found[1]) else None
