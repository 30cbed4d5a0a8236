"""A file that one thread writes while another reads along behind it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from coalmine._base.errors import CoalmineError

__all__ = ["Trail"]

_LEAST = 64 << 10  # each piece is a request's chunk and a call of the system
_MOST = 1 << 20


class Trail:
    """Grows until it is ended. It has no name, so that nothing is left of it when we are killed.

    Args:
        folder: On the disk that is to hold it.

    Attributes:
        file: What it is in.

    Raises:
        OSError: No file can be made there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._size, self._ended, self._broken = 0, False, False
        self._grown = threading.Condition()

    def write(self, content: bytes, /) -> int:
        """Take some bytes, all of them.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        left = memoryview(content)
        while left:
            left = left[self.file.write(left) :]
        with self._grown:
            self._size += len(content)
            self._grown.notify_all()
        return len(content)

    def end(self, *, whole: bool) -> None:
        """Say that no more comes, and whether all has."""
        with self._grown:
            self._ended, self._broken = True, not whole
            self._grown.notify_all()

    def pieces(self) -> Iterator[bytes]:
        """Read from the beginning, and wait for what is not written yet.

        Raises:
            CoalmineError: It ended before all was written.
        """
        offset = 0
        while size := self._await(offset):
            piece = os.pread(self.file.fileno(), size, offset)
            offset += len(piece)
            yield piece

    def close(self) -> None:
        """Forget it; no one reads or writes it any more."""
        self.file.close()

    def _await(self, offset: int) -> int:
        """Say how many bytes can be read from a place; 0 at the end."""
        with self._grown:
            self._grown.wait_for(lambda: self._ended or self._size - offset >= _LEAST)
            if self._broken:
                raise CoalmineError("the layer could not be packed to its end")
            return min(self._size - offset, _MOST)
