"""Blobs on their way to a registry."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, Self, cast

from coalmine.registry.digest import digest_of

__all__ = ["Begun", "BlobSource", "bytes_source", "file_source", "stream_source"]

_PIECE = 1 << 20


class Begun(Protocol):
    """A blob that is being sent already."""

    def finish(self, digest: str) -> bool:
        """Wait for the end of it; tell whether the blob is there now."""

    def abandon(self) -> int:
        """Stop, as it was there before; how many bytes were sent in vain."""


@dataclass(frozen=True, slots=True)
class BlobSource:
    """A blob that can be read more than once.

    Attributes:
        digest: ``sha256:`` and 64 hexadecimal digits.
        size: In bytes.
        open: Opens it at its beginning.
        mount_from: Another repository of the same registry that may have it, or empty.
        begun: The upload of it that is under way, if there is one.
        news: Whether the registry is not asked for it first, as it can hardly have it.
    """

    digest: str
    size: int
    open: Callable[[], IO[bytes]]
    mount_from: str = ""
    begun: Begun | None = None
    news: bool = False

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """Read the bytes from ``begin`` up to but not including ``end``, a megabyte at a time."""
        with self.open() as file:
            file.seek(begin)
            while begin < end and (piece := file.read(min(_PIECE, end - begin))):
                begin += len(piece)
                yield piece


def bytes_source(content: bytes) -> BlobSource:
    """Send a small content."""
    return BlobSource(digest_of(content), len(content), lambda: io.BytesIO(content))


def file_source(path: Path, digest: str) -> BlobSource:
    """Send a file whose digest is known."""
    return BlobSource(digest, path.stat().st_size, lambda: path.open("rb"))


def stream_source(
    digest: str,
    size: int,
    stream: Callable[[], Iterator[bytes]],
    begun: Begun | None = None,
) -> BlobSource:
    """Send what can only be read from its beginning, as often as that takes."""
    return BlobSource(digest, size, lambda: cast("IO[bytes]", _Stream(stream())), begun=begun)


class _Stream:
    """Pieces as a file that is read front to back; to seek is to read on and forget."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Read at most so many bytes; none at the end only."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def seek(self, offset: int) -> None:
        """Go on to a place; called once, at the beginning."""
        while offset and (skipped := self.read(min(offset, _PIECE))):
            offset -= len(skipped)
