"""Blobs on their way to a registry."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from coalmine.registry.digest import digest_of

__all__ = ["BlobSource", "bytes_source", "file_source"]

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class BlobSource:
    """A blob that can be read more than once.

    Attributes:
        digest: ``sha256:`` and 64 hexadecimal digits.
        size: In bytes.
        open: Opens it at its beginning.
        mount_from: Another repository of the same registry that may have it, or empty.
    """

    digest: str
    size: int
    open: Callable[[], IO[bytes]]
    mount_from: str = ""

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
