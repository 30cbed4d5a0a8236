"""Turns at writing: in line, writers wait shorter than by a database's own polling.

SQLite lets one writer in at a time, and one that finds it taken sleeps and looks again: after 1 ms,
then 2, 5, 10 and up to 100. Of two processes that commit all the time one would be past its sleep
when the other is at it again, and would miss its deadline by luck alone. So they take turns before
they come to SQLite: threads by a lock, processes by one on a file, both of which wake who waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Turns"]


class Turns:
    """Gives one thread of one process at a time its turn; who is killed in its turn gives it up.

    Args:
        path: The file whose lock is taken; made if it is not there.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._threads = threading.RLock()
        self._depth = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and have it until the end of the block; a block within it has it too."""
        with self._threads:
            if not self._depth:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
