"""Durations as people write them: ``20s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import re

__all__ = ["format_duration", "parse_duration"]

UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
PART = re.compile(r"([0-9]{1,9})(ms|[dhms])")
WHOLE = re.compile(r"(?:[0-9]{1,9}(?:ms|[dhms]))+")


def parse_duration(text: str) -> float:
    """Read a duration.

    Args:
        text: Numbers with units ``d``, ``h``, ``m``, ``s`` or ``ms``, without spaces.

    Returns:
        Seconds.

    Raises:
        ValueError: It is no duration.
    """
    if not isinstance(text, str) or not WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as 20s or 10m")
    return sum(int(number) * UNITS[unit] for number, unit in PART.findall(text)) / 1000


def format_duration(seconds: float) -> str:
    """Write a duration as PromQL takes it: ``20s``, ``1h30m``, ``500ms``; nothing is ``0s``."""
    rest, parts = round(seconds * 1000), []
    for unit, size in UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
