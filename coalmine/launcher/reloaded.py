"""What is read from files, and read again when they change, without a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from coalmine._base.errors import CoalmineError

__all__ = ["Reloaded"]

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int] | None, ...]

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Reloaded(Generic[T]):
    """A value made of files. Files that are wrong leave the value as it was, and that is told.

    Args:
        load: Makes the value anew; raises `CoalmineError` where the files are wrong.
        paths: The files it is made of; none if it never changes.
        what: Its name in the log.
        monotonic: Seconds that only grow.

    Raises:
        CoalmineError: The files are wrong at the first time.
    """

    def __init__(
        self,
        load: Callable[[], T],
        paths: Sequence[Path],
        what: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._paths = tuple(paths)
        self.what = what
        """Its name."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stamp = _stamp(self._paths)
        self._looked = monotonic()
        self._value = load()
        self.problem = ""
        """What is wrong with the files as they are now; empty if nothing."""

    def again(self) -> None:
        """Have the files read at the next use, whether they seem to have changed or not."""
        self._stamp = ()
        self._looked = -LOOK_SECONDS

    def __call__(self) -> T:
        """Give the value; looks at the files at most once a second."""
        now = self._monotonic()
        if (
            self._paths
            and now - self._looked >= LOOK_SECONDS
            and self._lock.acquire(blocking=False)
        ):
            try:
                self._looked = now
                self._look()
            finally:
                self._lock.release()
        return self._value

    def _look(self) -> None:
        stamp = _stamp(self._paths)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._value = self._load()
        except CoalmineError as error:
            self.problem = error.message
            logger.error(  # noqa: TRY400 - a sentence, no traceback
                "%s: what was read before still holds: %s",
                self.what,
                error.message,
                extra={"fix": error.fix},
            )
        else:
            self.problem = ""
            logger.info("%s: read again", self.what)


def _stamp(paths: Sequence[Path]) -> Stamp:
    return tuple(_stamp_of(path) for path in paths)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
