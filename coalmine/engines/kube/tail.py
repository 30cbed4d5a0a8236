"""Reads on in the log of a pod: from the lines since a moment, those that were not read before.

Protocol (Kubernetes, core/v1 PodLogOptions): ``timestamps`` puts a moment and a space before each
line, ``sinceTime`` leaves out what is older. It is sent to the second, so what was read within that
second comes again, and is passed over here. A line that a runtime keeps in pieces has the moment of
the first; where that is left out, a later piece comes as a line of its own. So what is asked for
begins with a line of an earlier moment than the one at which the reader is: behind it all is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from coalmine._base.errors import CoalmineError

__all__ = ["LONGEST_LINE", "Mark", "Tail"]

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")
LONGEST_LINE = 16 << 20
"""Bytes of a line, which has to be held in memory as a whole."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a log was read.

    Attributes:
        pod: Whose.
        stamp: The moment of the line that was read last, as it was written; empty before any.
        nth: Which line of this moment it is, from 1 on.
        taken: The bytes that were read of it.
        earlier: The last moment before this one at which a line was written; empty if none was.
    """

    pod: str
    stamp: bytes = b""
    nth: int = 0
    taken: int = 0
    earlier: bytes = b""

    @property
    def since(self) -> str:
        """What to ask for; empty for all."""
        found = STAMP.match(self.earlier)
        return (found[1] + found[3]).decode() if found else ""


class Tail:
    """Goes through what a server gives, once.

    Args:
        mark: How far it was read before.
        skip: Bytes to pass over behind that.
        most: Bytes to give at most.
    """

    def __init__(self, mark: Mark, skip: int, most: int) -> None:
        self.mark = mark
        """How far it is read now."""
        self.short = skip
        """Bytes that were to be passed over and did not come."""
        self._most = most
        self._before = mark
        self._at_mark = not mark.stamp
        self._stamp, self._nth, self._earlier = b"", 0, mark.earlier
        self._found = bytearray()

    def read(self, parts: Iterable[bytes]) -> bytes:
        """Give the bytes that are new, and read no further than they go.

        Args:
            parts: The log, with moments, cut anywhere.

        Raises:
            CoalmineError: The next line is too long.
        """
        try:
            for line in _lines(parts):
                self._take(line)
                if len(self._found) >= self._most:
                    break
        except CoalmineError:
            if not self._found:  # else what is before it comes first
                raise
        return bytes(self._found)

    def _take(self, line: bytes) -> None:
        stamp = STAMP.match(line)
        text = line[stamp.end() :] if stamp else line
        if stamp and stamp[0] != self._stamp:
            self._earlier = self._stamp or self._earlier
            self._stamp, self._nth = stamp[0], 0
        self._nth += 1
        taken = self._taken()
        if taken is None:
            return
        skipped = min(self.short, len(text) - taken)
        self.short -= skipped
        begin = taken + skipped
        end = min(len(text), begin + self._most - len(self._found))
        self._found += text[begin:end]
        self.mark = Mark(self.mark.pod, self._stamp, self._nth, end, self._earlier)

    def _taken(self) -> int | None:
        """Tell how much of the line was read before; None if it is one of those before the mark."""
        if self._at_mark:
            return 0
        known = self._before
        if (self._stamp, self._nth) == (known.stamp, known.nth):
            self._at_mark = True
            return known.taken
        # Past the mark: its line is gone, for the log was cut off at its beginning.
        self._at_mark = _moment(self._stamp) > _moment(known.stamp)
        return 0 if self._at_mark else None


def _moment(stamp: bytes) -> tuple[datetime, bytes]:
    found = STAMP.match(stamp)
    if found is None:
        return datetime.min.replace(tzinfo=UTC), b""
    seconds = datetime.fromisoformat((found[1] + found[3]).decode())
    return seconds, (found[2] or b".").ljust(10, b"0")


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Part what comes into lines, each with its end; the last may have none."""
    kept = bytearray()
    for part in parts:
        begin = 0
        while end := part.find(b"\n", begin) + 1:
            yield bytes(kept) + part[begin:end]
            kept.clear()
            begin = end
        kept += part[begin:]
        if len(kept) > LONGEST_LINE:
            raise CoalmineError(
                f"the log has a line of more than {LONGEST_LINE >> 20} MiB",
                fix="let the task end its lines, or read the log where the pod runs",
            )
    if kept:
        yield bytes(kept)
