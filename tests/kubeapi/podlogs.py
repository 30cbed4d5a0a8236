"""What ``pods/NAME/log`` gives, to the rules of the kubelet.

It keeps a line with the moment of its writing, one that is long in pieces. A moment that is asked
for arrives there in whole seconds; a piece that is older is left out, and what follows it of its
line then stands for a line of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

__all__ = ["Written", "log_text"]

Written = str | Sequence[tuple[str, str]]
"""A text, or pieces with the moments at which they were written, to the nanosecond."""
LINES_A_SECOND = 4


def log_text(written: Written, query: Mapping[str, str]) -> bytes:
    """Give a log as it is asked for."""
    pieces = _stamped(written) if isinstance(written, str) else written
    since = query.get("sinceTime", "")
    begins, found = True, ""
    for stamp, piece in pieces:
        if since and _second(stamp) < datetime.fromisoformat(since):
            continue
        found += f"{stamp} {piece}" if begins and query.get("timestamps") == "true" else piece
        begins = piece.endswith("\n")
    limit = int(query["limitBytes"]) if "limitBytes" in query else None
    return found.encode()[:limit]


def _stamped(text: str) -> list[tuple[str, str]]:
    """Give each line a moment, the same however many follow."""
    return [(_stamp(n), line) for n, line in enumerate(text.splitlines(keepends=True))]


def _stamp(n: int) -> str:
    second, within = divmod(n, LINES_A_SECOND)
    hour, minute = second // 3600, second // 60 % 60
    # Some share a moment, as lines that are written at once do.
    return f"2026-01-01T{hour:02}:{minute:02}:{second % 60:02}.{within // 2:09}Z"


def _second(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp[:19] + stamp[stamp.index(".") + 10 :])
