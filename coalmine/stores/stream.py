"""Bytes that are made anew each time they are read, as a file: nothing is kept on disk for it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["measured", "opened"]


def measured(chunks: Iterator[bytes]) -> tuple[str, int]:
    """Give the SHA-256 of some bytes, 64 hexadecimal digits, and how many they are."""
    total, size = hashlib.sha256(), 0
    for chunk in chunks:
        total.update(chunk)
        size += len(chunk)
    return total.hexdigest(), size


def opened(make: Callable[[], Iterator[bytes]], report: Callable[[int], None]) -> IO[bytes]:
    """Open such bytes at their beginning; they can be read and skipped, front to back.

    Args:
        make: Makes them.
        report: Is told of bytes as they are read.
    """
    return cast("IO[bytes]", _Made(make(), report))


class _Made(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes], report: Callable[[int], None]) -> None:
        self._chunks, self._report = chunks, report
        self._held = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or offset < self._at:
            raise io.UnsupportedOperation("it can only be read front to back")
        while self._at < offset and self._fill():
            self._take(offset - self._at)
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._fill():
            return 0
        piece = self._take(len(view))
        view[: len(piece)] = piece
        self._report(len(piece))
        return len(piece)

    def _fill(self) -> bool:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._held = memoryview(chunk)
        return True

    def _take(self, most: int) -> memoryview:
        piece, self._held = self._held[:most], self._held[most:]
        self._at += len(piece)
        return piece
